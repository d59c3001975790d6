package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pec-milter/pec-milter/internal/directory"
	"github.com/pec-milter/pec-milter/internal/legallog"
	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/pec"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"pec-milter": main, "measure": measure})
}

// TestScripts runs the commands as an operator would; each script is a file of
// testdata.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata",
		Setup: writeProvider,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"door":       waitForDoor,
			"connect":    connect,
			"appendrows": appendRows,
			"tamper":     tamper,
			"scrape":     scrape,
		},
	})
}

// waitForDoor waits until the delivery door's unix socket greets: the daemon
// listens before it is ready.
func waitForDoor(ts *testscript.TestScript, _ bool, args []string) {
	for range 200 {
		if greets(ts.MkAbs(args[0])) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("%s: nobody greets", args[0])
}

// connect connects to a unix socket once there is one, and goes away.
func connect(ts *testscript.TestScript, _ bool, args []string) {
	var err error
	for range 200 {
		var conn net.Conn
		if conn, err = net.Dial("unix", ts.MkAbs(args[0])); err == nil {
			ts.Check(conn.Close())
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Check(err)
}

// appendRows appends rows to the legal log in a file: appendrows FILE COUNT.
func appendRows(ts *testscript.TestScript, _ bool, args []string) {
	db, err := sql.Open("sqlite", legallog.SQLiteDSN(ts.MkAbs(args[0])))
	ts.Check(err)
	defer db.Close()
	log, err := legallog.Open(db, "mx1")
	ts.Check(err)
	defer log.Close()
	count, err := strconv.Atoi(args[1])
	ts.Check(err)
	for range count {
		ts.Check(log.Append(context.Background(), point.Event{Time: time.Now(), Kind: point.EventRefused, Subject: "L'oggetto"}))
	}
}

// tamper changes the legal log in a file, as one does who may write the file:
// tamper FILE STATEMENT.
func tamper(ts *testscript.TestScript, _ bool, args []string) {
	db, err := sql.Open("sqlite", legallog.SQLiteDSN(ts.MkAbs(args[0])))
	ts.Check(err)
	defer db.Close()
	for _, statement := range []string{"DROP TRIGGER IF EXISTS events_no_update", "DROP TRIGGER IF EXISTS events_no_delete", args[1]} {
		_, err := db.Exec(statement)
		ts.Check(err)
	}
}

func greets(path string) bool {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return false
	}
	defer conn.Close()
	if conn.SetReadDeadline(time.Now().Add(10*time.Second)) != nil {
		return false
	}
	greeting := make([]byte, 3)
	_, err = io.ReadFull(conn, greeting)
	return err == nil && string(greeting) == "220"
}

// writeProvider writes what a provider needs, with a key file, into the script's
// directory. Messages of the golden tests are there too.
func writeProvider(env *testscript.Env) error {
	dir := env.WorkDir
	ca, err := testpki.NewRoot(testpki.Source{Now: time.Now(), Rand: rand.Reader}, "Test CA")
	if err != nil {
		return err
	}
	signer, err := ca.NewProvider("Alfa PEC S.p.A.", "posta-certificata@pec.alfa.example")
	if err != nil {
		return err
	}
	list, err := ca.Revoke(time.Now().Add(time.Hour))
	if err != nil {
		return err
	}
	office, err := ca.NewProvider("Directory Office", "indice@office.example")
	if err != nil {
		return err
	}
	golden, err := filepath.Abs("../../pec/testdata/golden")
	if err != nil {
		return err
	}
	env.Setenv("GOLDEN", golden)
	env.Setenv("SIGN", "openssl cms -sign -binary -nodetach -outform DER -signer office.pem -inkey office.key")
	return errors.Join(
		os.Mkdir(filepath.Join(dir, "roots"), 0o755),
		os.Mkdir(filepath.Join(dir, "golden"), 0o755),
		os.Symlink(filepath.Join(golden, "..", "pki", "ca.pem"), filepath.Join(dir, "golden", "ca.pem")),
		testpki.WriteCertificates(filepath.Join(dir, "roots", "ca.pem"), ca.Certificate()),
		testpki.WriteRevocations(filepath.Join(dir, "ca.crl"), list),
		signer.WriteFiles(filepath.Join(dir, "signer.pem"), filepath.Join(dir, "signer.key")),
		writeDirectory(filepath.Join(dir, "providers.ldif"), signer),
		office.WriteFiles(filepath.Join(dir, "office.pem"), filepath.Join(dir, "office.key")),
		os.WriteFile(filepath.Join(dir, "accounts"), []byte("mario@pec.alfa.example mario active refuse\n"), 0o644),
		os.WriteFile(filepath.Join(dir, "secret"), []byte(fmt.Sprintf("%064d\n", 1)), 0o600),
		os.WriteFile(filepath.Join(dir, "pec.toml"), []byte(configuration), 0o644),
	)
}

func writeDirectory(path string, signer *testpki.Credential) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	err = directory.WriteLDIF(file, []*pec.Provider{{
		Name: "Alfa PEC S.p.A.", Certificates: signer.Chain[:1], MailReceipt: "servizio@pec.alfa.example",
		Domains: []string{"pec.alfa.example"},
	}})
	return errors.Join(err, file.Close())
}

const configuration = `antivirus = "none"
[provider]
name = "Alfa PEC S.p.A."
domain = "pec.alfa.example"
domains = ["pec.alfa.example"]
address = "posta-certificata@pec.alfa.example"
mail_receipt = "servizio@pec.alfa.example"
secret_file = "secret"
[access]
listen = "unix:access.sock"
[incoming]
listen = "unix:incoming.sock"
[delivery]
listen = "unix:delivery.sock"
mailbox = "unix:dovecot.sock"
[inject]
address = "127.0.0.1:10027"
[signer]
certificate_file = "signer.pem"
key_file = "signer.key"
[directory]
ldif = "providers.ldif"
roots = "roots"
revocations = ["ca.crl"]
[accounts]
file = "accounts"
[state]
file = "pec.db"
`
