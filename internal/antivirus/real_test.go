package antivirus

import (
	"archive/zip"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

const contrib = "../../contrib/clamav/"

// daemon is a clamd of our own: contrib's settings, contrib's signatures and one
// for EICAR, all else in a temporary directory. first are lines that go before.
type daemon struct {
	*Clamd
	process *os.Process
}

func startClamd(t *testing.T, first ...string) *daemon {
	t.Helper()
	program := findClamd(t)
	dir := t.TempDir()
	signature := "Eicar-Test:0:*:" + hex.EncodeToString([]byte(eicar())) + "\n"
	write(t, filepath.Join(dir, "db", "eicar.ndb"), signature)
	write(t, filepath.Join(dir, "db", "pec-milter.ndb"), contents(t, contrib+"pec-milter.ndb"))
	write(t, filepath.Join(dir, "tmp", "nothing"), "")
	socket := filepath.Join(dir, "clamd.sock")
	write(t, filepath.Join(dir, "clamd.conf"), strings.Join(first, "\n")+"\n"+contents(t, contrib+"pec-milter.conf")+
		"\nForeground yes\nLocalSocket "+socket+"\nDatabaseDirectory "+filepath.Join(dir, "db")+
		"\nTemporaryDirectory "+filepath.Join(dir, "tmp")+"\n")
	clamd := exec.Command(program, "--config-file="+filepath.Join(dir, "clamd.conf"))
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	clamd.Stdout, clamd.Stderr = log, log
	clamd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := clamd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		clamd.Process.Kill()
		clamd.Wait()
		if t.Failed() {
			t.Logf("clamd said:\n%s", contents(t, log.Name()))
		}
	})
	d := &daemon{&Clamd{"unix", socket, 150 * time.Second}, clamd.Process}
	d.await(t)
	return d
}

// findClamd skips aloud; where CI is set, clamd must be there.
func findClamd(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"clamd", "/usr/sbin/clamd"} {
		if program, err := exec.LookPath(name); err == nil {
			return program
		}
	}
	const why = "SKIPPED, NOT TESTED: no clamd on this machine: apt-get install clamav-daemon"
	if os.Getenv("CI") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
	return ""
}

// await waits until the signatures are loaded.
func (d *daemon) await(t *testing.T) {
	t.Helper()
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, _, _, err = d.Version(t.Context()); err == nil {
			return
		}
	}
	t.Fatalf("clamd is not ready: %v", err)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func contents(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// TestRealClamd are the cases RS-04 and RS-05: what must be found where it is
// hidden, and what must not be called clean.
func TestRealClamd(t *testing.T) {
	clamd := startClamd(t)
	virus := []byte(eicar())
	infected := mail(words(), attached("eicar.com", virus))
	bomb := attached("bomb.zip", nested(t, 20, virus))
	encrypted := attached("secret.zip", encryptedZip(t))
	tenGiB := deflatedZeros(t, 10*gib)

	clean := point.Finding{}
	eicarFound := point.Finding{Virus: "Eicar-Test.UNOFFICIAL"}
	limits := point.Finding{Limits: true}
	for _, c := range []struct {
		name, message string
		want          point.Finding
	}{
		{"clean", mail(words(), attached("a.bin", []byte("nothing"))), clean},
		{"clean ZIP", mail(words(), attached("a.zip", packed(t, "a.txt", []byte("nothing")))), clean},
		{"empty", "", clean},
		{"512 MiB in a ZIP", mail(words(), attached("a.zip", rawZip(t, deflated(512<<20), deflatedZeros(t, 512<<20)))), clean},
		{"clean envelope", envelope(mail(words())), clean},

		{"RS-05 body", "Subject: x\r\n\r\n" + eicar() + "\r\n", eicarFound},
		{"RS-05 attachment", infected, eicarFound},
		{"RS-05 base64 with junk", mail(part{"application/octet-stream", "Content-Transfer-Encoding: base64\r\n\r\n" + junk(base64Lines(virus))}), eicarFound},
		{"RS-05 ZIP", mail(words(), attached("a.zip", packed(t, "a.com", virus))), eicarFound},
		{"RS-05 nested ZIP", mail(words(), attached("a.zip", nested(t, 5, virus))), eicarFound},
		{"RS-05 attached message", mail(words(), message(infected)), eicarFound},
		{"RS-05 envelope", envelope(infected), eicarFound},
		{"RS-05 ZIP in an envelope", envelope(mail(words(), attached("a.zip", packed(t, "a.com", virus)))), eicarFound},
		{"RS-05 beside a bomb", mail(words(), bomb, attached("eicar.com", virus)), eicarFound},
		{"RS-05 beside an encrypted archive", mail(words(), encrypted, attached("eicar.com", virus)), eicarFound},

		{"RS-04 nested too deep", mail(words(), bomb), limits},
		{"RS-04 10 GiB in a ZIP", mail(words(), attached("big.zip", rawZip(t, deflated(4*gib-2), tenGiB))), limits},
		{"RS-04 10 GiB in a ZIP64", mail(words(), attached("big.zip", rawZip(t, deflated(10*gib), tenGiB))), limits},
		{"RS-04 10 GiB in a ZIP64 made as a stream", mail(words(), attached("big.zip", rawZip(t, streamed(10*gib), tenGiB))), limits},
		{"RS-04 1001 MiB in a ZIP that says 5 bytes", mail(words(), attached("big.zip", rawZip(t, deflated(5), deflatedZeros(t, 1008<<20)))), limits},
		{"RS-04 small ZIP64", mail(words(), attached("a.zip", smallZip64(t))), limits},
		{"RS-04 LZMA in a ZIP", mail(words(), attached("a.zip", rawZip(t, zip.FileHeader{Method: 14}, []byte("lzma")))), limits},
		{"RS-04 encrypted ZIP", mail(words(), encrypted), point.Finding{Encrypted: true}},
		{"RS-04 encrypted ZIP in an envelope", envelope(mail(words(), encrypted)), point.Finding{Encrypted: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := clamd.Scan(t.Context(), text(c.message)); err != nil || got != c.want {
				t.Errorf("Scan() = %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

func deflated(size uint64) zip.FileHeader {
	return zip.FileHeader{Method: zip.Deflate, UncompressedSize64: size}
}

// streamed: the sizes stand behind the file, and in the central directory.
func streamed(size uint64) zip.FileHeader {
	return zip.FileHeader{Method: zip.Deflate, UncompressedSize64: size, Flags: 8}
}

// junk puts what is no base64 between the characters.
func junk(text string) string {
	return strings.Join(strings.Split(text, ""), "!")
}

// TestRealClamdVersion: with signatures of our own alone there is no base.
func TestRealClamdVersion(t *testing.T) {
	engine, base, date, err := startClamd(t).Version(t.Context())
	if err != nil || !strings.Contains(engine, ".") || base != "" || !date.IsZero() {
		t.Errorf("Version() = %q, %q, %v, %v; want an engine and no base", engine, base, date, err)
	}
}

// TestRealClamdStreamMaxLength: clamd hangs up while the message is on its way.
func TestRealClamdStreamMaxLength(t *testing.T) {
	clamd := startClamd(t, "StreamMaxLength 1M") // the first one counts
	for _, size := range []zeros{1<<20 + 1, 50 << 20} {
		got, err := clamd.Scan(t.Context(), size)
		if err == nil || got != (point.Finding{}) || !strings.Contains(err.Error(), "set StreamMaxLength") {
			t.Errorf("Scan(%d bytes) = %+v, %v, want an error about StreamMaxLength", size, got, err)
		}
	}
}

// TestRealClamdLargeMessage: the largest that any door takes, and its header.
func TestRealClamdLargeMessage(t *testing.T) {
	const largest = 2*128<<20 + 4<<20
	got, err := startClamd(t).Scan(t.Context(), zeros(largest))
	if err != nil || got != (point.Finding{}) {
		t.Errorf("Scan(%d bytes) = %+v, %v, want clean", largest, got, err)
	}
}

// killing is a message in the middle of which clamd dies.
type killing struct{ clamd *os.Process }

func (m killing) WriteTo(w io.Writer) (int64, error) {
	before, err := zeros(10 << 20).WriteTo(w)
	if err != nil {
		return before, err
	}
	if err := m.clamd.Kill(); err != nil {
		return before, err
	}
	after, err := zeros(50 << 20).WriteTo(w)
	return before + after, err
}

// TestRealClamdKilled is case FP-04.
func TestRealClamdKilled(t *testing.T) {
	clamd := startClamd(t)
	if got, err := clamd.Scan(t.Context(), killing{clamd.process}); err == nil || got != (point.Finding{}) {
		t.Errorf("Scan() = %+v, %v, want an error alone", got, err)
	}
	if got, err := clamd.Scan(t.Context(), text("x")); err == nil || got != (point.Finding{}) {
		t.Errorf("Scan() after its death = %+v, %v, want an error alone", got, err)
	}
}
