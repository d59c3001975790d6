package directory

import (
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// startSlapd starts OpenLDAP with one entry that has a revocation list, and gives
// its address. It ends with the test.
func startSlapd(t *testing.T, list string) string {
	t.Helper()
	slapd, err := exec.LookPath("/usr/sbin/slapd")
	if err != nil {
		t.Skip("SKIPPED, NOT TESTED: no OpenLDAP on this machine: apt-get install slapd")
	}
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	conf := file("slapd.conf", "include /etc/ldap/schema/core.schema\nmodulepath /usr/lib/ldap\nmoduleload back_ldif\n"+
		"pidfile "+dir+"/pid\ndatabase ldif\nsuffix c=IT\ndirectory "+dir+"\naccess to * by * read\n")
	entries := file("crl.ldif", "dn: c=IT\nobjectClass: country\nc: IT\n\n"+
		"dn: cn=PEC CA,c=IT\nobjectClass: cRLDistributionPoint\ncn: PEC CA\n"+
		"certificateRevocationList;binary:: "+base64.StdEncoding.EncodeToString([]byte(list))+"\n")
	if out, err := exec.Command(slapd, "-T", "add", "-f", conf, "-l", entries).CombinedOutput(); err != nil {
		t.Fatalf("slapadd: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	server := exec.Command(slapd, "-d", "0", "-f", conf, "-h", "ldap://"+address)
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return address
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// TestFetchFromSlapd: a real directory server, asked in the ways that certificates
// ask.
func TestFetchFromSlapd(t *testing.T) {
	b := newBench(t)
	list := b.list(b.pki.sub)
	address := startSlapd(t, list)
	for _, query := range []string{
		"cn=PEC%20CA,c=IT?certificateRevocationList;binary", "cn=PEC%20CA,c=IT?certificateRevocationList",
		"cn=PEC%20CA,c=IT", "c=IT?certificateRevocationList;binary?sub?(cn=PEC%20CA)",
	} {
		if got, err := fetch(t.Context(), fmt.Sprintf("ldap://%s/%s", address, query)); err != nil || string(got) != list {
			t.Errorf("%s: got %d bytes, %v, want the list", query, len(got), err)
		}
	}
	if _, err := fetch(t.Context(), fmt.Sprintf("ldap://%s/cn=Other,c=IT", address)); err == nil {
		t.Error("an entry that is not there: no error")
	}
}
