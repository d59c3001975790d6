package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pec-milter/pec-milter/internal/config"
	"github.com/pec-milter/pec-milter/internal/doctor"
	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/internal/testpostgres"
)

// startPostgreSQL skips aloud where there is no PostgreSQL; where CI is set, it
// must be there.
func startPostgreSQL(t *testing.T) *testpostgres.Server {
	t.Helper()
	if !testpostgres.Installed() {
		const why = "SKIPPED, NOT TESTED: no PostgreSQL on this machine: apt-get install postgresql-15"
		if os.Getenv("CI") != "" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	server, err := testpostgres.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// database is the table of a server reached by TCP, with the password in a file.
func database(t *testing.T, server *testpostgres.Server, password string) config.PostgreSQL {
	t.Helper()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.PostgreSQL{
		Hosts: []string{"127.0.0.1"}, Port: server.Port, Database: testpostgres.Role, User: testpostgres.Role, PasswordFile: file,
	}
}

func TestPostgreSQL(t *testing.T) {
	server := startPostgreSQL(t)
	t.Run("legal log and export", func(t *testing.T) { testServicesPostgreSQL(t, server) })
	t.Run("doctor", func(t *testing.T) { testDoctorPostgreSQL(t, server) })
	t.Run("every connection is durable", func(t *testing.T) { testDurable(t, server) })
	t.Run("the role may do nothing else", func(t *testing.T) { testLeastPrivilege(t, server) })
	t.Run("the password is in no error", func(t *testing.T) { testPasswordHidden(t, server) })
	t.Run("unix socket", func(t *testing.T) {
		p := database(t, server, "not asked for")
		p.Hosts = []string{"/nowhere", server.Directory}
		wantQuery(t, p, "SELECT current_user", testpostgres.Role)
	})
	t.Run("TLS", func(t *testing.T) { testTLS(t, server) })
}

// testServicesPostgreSQL opens all services as serve does, writes a row of the
// legal log and exports it with the command.
func testServicesPostgreSQL(t *testing.T, server *testpostgres.Server) {
	path := configWith(t, server)
	c, err := loadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := openLegalLog(c, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "pec-milter database migrate") {
		t.Errorf("an empty database: %v, want to be told what to do", err)
	}
	for range 2 {
		var stderr bytes.Buffer
		if code := run([]string{"database", "migrate", "--config", path, "--owner-password-file", c.PostgreSQL.PasswordFile},
			io.Discard, &stderr); code != 0 {
			t.Fatalf("database migrate = %d, %s", code, stderr.String())
		}
	}
	s, err := openServices(c, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	event := point.Event{Time: time.Now(), Kind: point.EventRefused, ID: "kept@pec.alfa.example"}
	if err := errors.Join(s.provider.Log.Append(context.Background(), event), s.close()); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	code := run([]string{"log", "export", "--config", path, "--id", event.ID}, &stdout, &stderr)
	if code != 0 || !strings.Contains(stdout.String(), `"id":"kept@pec.alfa.example"`) {
		t.Errorf("log export = %d, %q, %q, want the row", code, stdout.String(), stderr.String())
	}
	if code := run([]string{"check-config", "--config", path}, &stdout, &stderr); code != 0 {
		t.Errorf("check-config = %d, %q", code, stderr.String())
	}
	if _, err := os.Stat(c.State.File); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: %v, want no such file beside PostgreSQL", c.State.File, err)
	}
}

// configWith is the scripts' configuration with the table of a server.
func configWith(t *testing.T, server *testpostgres.Server) (path string) {
	t.Helper()
	p := database(t, server, testpostgres.Password)
	dir := t.TempDir()
	path = filepath.Join(dir, "postgresql.toml")
	table := fmt.Sprintf("[postgresql]\nhosts = [%q]\nport = %d\ndatabase = %q\nuser = %q\npassword_file = %q\n",
		p.Hosts[0], p.Port, p.Database, p.User, p.PasswordFile)
	if err := errors.Join(
		writeProvider(&testscript.Env{WorkDir: dir}),
		os.WriteFile(path, []byte(configuration+table), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	return path
}

// testDoctorPostgreSQL: doctor looks at the server in place of a file, says that
// nothing is known of replicas, and finds what is wrong.
func testDoctorPostgreSQL(t *testing.T, server *testpostgres.Server) {
	path := configWith(t, server)
	examine := func() (about []doctor.Finding) {
		var stdout, stderr bytes.Buffer
		run([]string{"doctor", "--json", "--config", path, "--postfix", "none"}, &stdout, &stderr)
		for decoder := json.NewDecoder(&stdout); decoder.More(); {
			var f doctor.Finding
			if err := decoder.Decode(&f); err != nil {
				t.Fatalf("%v; doctor said %q", err, stderr.String())
			}
			if strings.HasPrefix(f.Check, "postgresql") || strings.HasPrefix(f.Check, "database") {
				about = append(about, f)
			}
		}
		return about
	}
	wantResults(t, examine(), doctor.Good, doctor.Good, doctor.Good, doctor.Good, doctor.NotChecked)
	setFullPageWrites(t, server, "off")
	wantResults(t, examine(), doctor.Good, doctor.Good, doctor.Bad, doctor.Good, doctor.NotChecked)
	setFullPageWrites(t, server, "on")
	if err := os.WriteFile(path+".wrong", []byte(strings.Replace(read(t, path), `user = "pec-milter"`, `user = "nobody"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	path += ".wrong"
	wantResults(t, examine(), doctor.Bad)
}

// setFullPageWrites waits until the server has it: it reads its settings again
// when it comes to that.
func setFullPageWrites(t *testing.T, server *testpostgres.Server, value string) {
	t.Helper()
	if err := server.SQL("ALTER SYSTEM SET full_page_writes = " + value + ";\nSELECT pg_reload_conf();"); err != nil {
		t.Fatal(err)
	}
	db := open(t, database(t, server, testpostgres.Password))
	db.SetMaxIdleConns(0) // each question asks a new process of the server
	for range 600 {
		var got string
		if err := db.QueryRow("SHOW full_page_writes").Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got == value {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("full_page_writes is not %s within 30 s", value)
}

func wantResults(t *testing.T, got []doctor.Finding, want ...doctor.Result) {
	t.Helper()
	var results []doctor.Result
	for _, f := range got {
		results = append(results, f.Result)
	}
	if !slices.Equal(results, want) {
		t.Errorf("doctor found %v, want %v", got, want)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// testDurable: whatever the server's administrator wrote, a commit of ours waits
// for the disk.
func testDurable(t *testing.T, server *testpostgres.Server) {
	if err := server.SQL(fmt.Sprintf("ALTER ROLE %q SET synchronous_commit = off;", testpostgres.Role)); err != nil {
		t.Fatal(err)
	}
	p := database(t, server, testpostgres.Password)
	wantQuery(t, p, "SHOW synchronous_commit", "on")
	wantQuery(t, p, "SHOW idle_in_transaction_session_timeout", "5s")
	wantQuery(t, p, "SHOW statement_timeout", "25s")
}

func open(t *testing.T, p config.PostgreSQL) *sql.DB {
	t.Helper()
	db, err := openPostgreSQL(&p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func wantQuery(t *testing.T, p config.PostgreSQL, query, want string) {
	t.Helper()
	var got string
	if err := open(t, p).QueryRow(query).Scan(&got); err != nil || got != want {
		t.Errorf("%s = %q, %v, want %q", query, got, err, want)
	}
}

// testLeastPrivilege: contrib/postgresql gives the role its schema and no more,
// and nobody else a way in.
func testLeastPrivilege(t *testing.T, server *testpostgres.Server) {
	p := database(t, server, testpostgres.Password)
	db := open(t, p)
	for _, statement := range []string{
		"CREATE ROLE another", "CREATE DATABASE another", "CREATE SCHEMA another", "CREATE TABLE public.another ()",
		"SELECT pg_read_file('postgresql.conf')", "SET session_replication_role = replica", "ALTER ROLE CURRENT_USER SUPERUSER",
		"CREATE TEMPORARY TABLE another ()", "DROP DATABASE postgres",
	} {
		if _, err := db.Exec(statement); err == nil || !strings.Contains(err.Error(), "permission denied") &&
			!strings.Contains(err.Error(), "must be") {
			t.Errorf("%s: %v, want it refused", statement, err)
		}
	}
	if err := server.SQL("CREATE ROLE stranger LOGIN;"); err != nil {
		t.Fatal(err)
	}
	p.Hosts, p.User = []string{server.Directory}, "stranger"
	if err := open(t, p).Ping(); err == nil || !strings.Contains(err.Error(), "permission denied for database") {
		t.Errorf("another role connects: %v, want it refused", err)
	}
}

func testPasswordHidden(t *testing.T, server *testpostgres.Server) {
	const secret = "s3cr3t"
	wrong := database(t, server, secret)
	away := wrong
	away.Port = 1
	bad := wrong
	bad.CAFile = filepath.Join(t.TempDir(), "none.pem")
	for name, p := range map[string]config.PostgreSQL{"wrong": wrong, "server away": away, "no authority": bad} {
		_, _, err := openLegalLog(&config.Config{PostgreSQL: p}, slog.New(slog.DiscardHandler))
		if err == nil || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), secret) {
			t.Errorf("%s: error %v, want one without the password", name, err)
		}
	}
	_, _, err := openLegalLog(&config.Config{PostgreSQL: wrong}, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "password authentication failed") || !strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("wrong password: error %v, want it to name the reason and the host", err)
	}
}

// testTLS: a certificate that does not verify, or is for another name, is refused.
func testTLS(t *testing.T, server *testpostgres.Server) {
	source := testpki.Source{Now: time.Now(), Rand: rand.Reader}
	ca, err := testpki.NewRoot(source, "Database CA")
	other, err2 := testpki.NewRoot(source, "Another CA")
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	encrypt(t, server, ca)
	trusted, foreign := filepath.Join(t.TempDir(), "ca.pem"), filepath.Join(t.TempDir(), "other.pem")
	if err := errors.Join(testpki.WriteCertificates(trusted, ca.Certificate()), testpki.WriteCertificates(foreign, other.Certificate())); err != nil {
		t.Fatal(err)
	}
	p := database(t, server, testpostgres.Password)
	p.CAFile = trusted
	wantQuery(t, p, "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()", "TLSv1.3")
	p.Hosts = []string{"localhost"} // not in the certificate
	wantPingError(t, p, "certificate")
	p.Hosts, p.CAFile = []string{"127.0.0.1"}, foreign
	wantPingError(t, p, "certificate")
}

func wantPingError(t *testing.T, p config.PostgreSQL, want string) {
	t.Helper()
	if err := open(t, p).Ping(); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v with %s: error %v, want one with %q", p.Hosts, filepath.Base(p.CAFile), err, want)
	}
}

// encrypt gives the server a certificate for 127.0.0.1 alone and waits until it
// uses it.
func encrypt(t *testing.T, server *testpostgres.Server, ca *testpki.Authority) {
	t.Helper()
	credential, err := ca.NewServer([]string{"db1.alfa.example"})
	if err != nil {
		t.Fatal(err)
	}
	owner, err := os.Stat(server.Directory)
	if err != nil {
		t.Fatal(err)
	}
	uid, gid := int(owner.Sys().(*syscall.Stat_t).Uid), int(owner.Sys().(*syscall.Stat_t).Gid)
	certificate, key := filepath.Join(server.Directory, "server.pem"), filepath.Join(server.Directory, "server.key")
	if err := errors.Join(
		credential.WriteFiles(certificate, key), os.Chown(certificate, uid, gid), os.Chown(key, uid, gid),
		server.SQL(fmt.Sprintf("ALTER SYSTEM SET ssl_cert_file = '%s';\nALTER SYSTEM SET ssl_key_file = '%s';\n"+
			"ALTER SYSTEM SET ssl = on;", certificate, key)),
		server.Kill(), server.Restart(),
	); err != nil {
		t.Fatal(err)
	}
}

// A server that takes the connection and says nothing ends in an error.
func TestPostgreSQLSilent(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	start := time.Now()
	_, _, err = openLegalLog(&config.Config{PostgreSQL: config.PostgreSQL{
		Hosts: []string{"127.0.0.1"}, Port: silent.Addr().(*net.TCPAddr).Port, Database: "pec-milter", User: "pec-milter",
	}}, slog.New(slog.DiscardHandler))
	if took := time.Since(start); err == nil || took > 2*time.Minute {
		t.Errorf("openLegalLog = %v after %v, want an error in bounded time", err, took)
	}
}
