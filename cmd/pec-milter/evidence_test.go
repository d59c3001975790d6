package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pec-milter/pec-milter/internal/evidence"
	"github.com/pec-milter/pec-milter/internal/legallog"
	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/internal/testevidence"
	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/internal/testtsa"
	"github.com/pec-milter/pec-milter/pec"
)

const evidenceID = "pecaaaa@pec.alfa.example"

// evidenceSite is a provider with a time-stamping authority, whose log has a
// message among others.
func evidenceSite(t *testing.T) (config string) {
	t.Helper()
	dir := t.TempDir()
	if err := writeProvider(&testscript.Env{WorkDir: dir}); err != nil {
		t.Fatal(err)
	}
	stamper, err := testtsa.New(time.Now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(stamper)
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: stamper.Root.Raw})
	config = filepath.Join(dir, "pec.toml")
	settings := configuration + "node = \"mx1\"\n[legal_log]\ntsa = \"" + server.URL + "\"\ntsa_ca = \"tsa.pem\"\n"
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "tsa.pem"), ca, 0o644), os.WriteFile(config, []byte(settings), 0o644)); err != nil {
		t.Fatal(err)
	}
	appendMessages(t, filepath.Join(dir, "pec.db"))
	return config
}

// openLog opens a legal log in a file, of the node mx1, until the test ends.
func openLog(t *testing.T, path string) (*legallog.Log, *sql.DB) {
	t.Helper()
	db, err := sql.Open("sqlite", legallog.SQLiteDSN(path))
	if err != nil {
		t.Fatal(err)
	}
	log, err := legallog.Open(db, "mx1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close(); db.Close() })
	return log, db
}

// appendMessages logs a message from a holder to another one of the same provider,
// among others.
func appendMessages(t *testing.T, path string) {
	t.Helper()
	log, _ := openLog(t, path)
	var rows []point.Event
	e := point.Event{
		Time: time.Now().Add(-time.Hour), Kind: point.EventAccepted, Door: point.AccessDoor, ID: evidenceID, Reference: "<user1@client.example>",
		Sender: "mario@pec.alfa.example", Recipients: []pec.Recipient{{Address: "anna@pec.alfa.example", Kind: pec.Certified}},
		Subject: "Perché \"no\" & altro", Provider: "Alfa PEC S.p.A.", ReceiptType: pec.Complete,
	}
	rows = append(rows, e)
	for n, kind := range []pec.Kind{pec.Acceptance, pec.ServerAcceptance, pec.Delivery} {
		e.Notice, e.NoticeID, e.NoticeTo = kind, fmt.Sprintf("notice%d@pec.alfa.example", n), e.Sender
		e.TakenFor, e.Delivered = nil, ""
		switch kind {
		case pec.ServerAcceptance:
			e.TakenFor = []string{"anna@pec.alfa.example"}
		case pec.Delivery:
			e.Delivered = "anna@pec.alfa.example"
		}
		e.Kind = point.EventIssuing
		rows = append(rows, e)
		e.Kind = point.EventIssued
		rows = append(rows, e)
	}
	for n, row := range rows {
		other := point.Event{Time: row.Time, Kind: point.EventRefused, Sender: "x@example.org", Subject: fmt.Sprint("other ", n)}
		if err := log.Append(context.Background(), other, row, other); err != nil {
			t.Fatal(err)
		}
	}
}

// pecMilter runs a command in this process, and fails the test unless it ends with
// that exit code.
func pecMilter(t *testing.T, code int, args ...string) string {
	t.Helper()
	var output bytes.Buffer
	if got := run(args, &output, &output); got != code {
		t.Fatalf("pec-milter %v: exit code %d, want %d\n%s", args, got, code, &output)
	}
	return output.String()
}

// tools is a directory with the programs that verify.sh may use, and no others.
func tools(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := testevidence.LinkPrograms(dir); err != nil {
		const why = "SKIPPED, NOT TESTED: "
		if os.Getenv("CI") != "" {
			t.Fatal(why, err)
		}
		t.Skip(why, err)
	}
	return dir
}

// verifySh runs verify.sh and gives what it printed and its exit code.
func verifySh(t *testing.T, tools, dir string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	printed, code, err := testevidence.Verify(ctx, tools, dir)
	if err != nil {
		t.Fatal(err)
	}
	return printed, code
}

// unpack gives the directory of the files and their names.
func unpack(t *testing.T, archive []byte) (dir string, names []string) {
	t.Helper()
	dir = t.TempDir()
	names, err := testevidence.Unpack(archive, dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir, names
}

// TestEvidence: openssl and sha256sum alone verify the archive, and with one byte
// changed anywhere in its files they do not.
func TestEvidence(t *testing.T) {
	tools, config := tools(t), evidenceSite(t)
	path := filepath.Join(t.TempDir(), "evidence.zip")
	if got := pecMilter(t, exitUnavailable, "evidence", evidenceID, "--config", config, "--out", path); !strings.Contains(got, "row 2 is in no seal") {
		t.Errorf("before the rows are sealed: %s", got)
	}
	pecMilter(t, 0, "evidence", evidenceID, "--config", config, "--out", path+".early", "--unsealed")
	early, err := os.ReadFile(path + ".early")
	if err != nil {
		t.Fatal(err)
	}
	dir, _ := unpack(t, early)
	if got, code := verifySh(t, tools, dir); code != 2 || !strings.Contains(got, "INCOMPLETE") {
		t.Errorf("unsealed: exit code %d, want 2\n%s", code, got)
	}
	pecMilter(t, 0, "log", "seal", "--config", config)
	pecMilter(t, 0, "evidence", "<user1@client.example>", "--config", config, "--out", path, "--reason", "the court asks")
	archive, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir, names := unpack(t, archive)
	got, code := verifySh(t, tools, dir)
	// 7 rows of the message, and who took evidence before it was sealed.
	if code != 0 || strings.Count(got, "sealed: ") != 8 || strings.Count(got, "signed: notices/") != 3 || !strings.Contains(got, "time stamp: ") {
		t.Fatalf("exit code %d\n%s", code, got)
	}
	if printed := pecMilter(t, 0, "log", "search", "--config", config, "--kind", "extracted"); !strings.Contains(printed, "reason: the court asks") {
		t.Errorf("who took evidence is not logged: %s", printed)
	}
	changeBytes(t, tools, dir, names)
}

// changeBytes changes each byte of the script that is run, and some of all other
// files; adds a file, and removes each.
func changeBytes(t *testing.T, tools, dir string, names []string) {
	t.Helper()
	random := mathrand.New(mathrand.NewPCG(5, 6))
	mustFail := func(what string) {
		t.Helper()
		if got, code := verifySh(t, tools, dir); code == 0 {
			t.Errorf("%s: it passes\n%s", what, got)
		}
	}
	changed := 0
	for _, name := range names {
		path := filepath.Join(dir, name)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for n := range content {
			if name != "verify.sh" && n != 0 && n != len(content)-1 && random.IntN(len(content)) > 3 {
				continue
			}
			for _, b := range []byte{content[n] ^ 1, "\n#& n|;0"[random.IntN(8)]} {
				if b == content[n] {
					continue
				}
				bad := slices.Clone(content)
				bad[n] = b
				changed++
				if err := os.WriteFile(path, bad, 0o644); err != nil {
					t.Fatal(err)
				}
				mustFail(fmt.Sprintf("%s, byte %d: %q for %q", name, n, b, content[n]))
			}
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if name == "verify.sh" {
			continue
		}
		mustFail(name + " removed")
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d bytes of %d files were changed, one at a time", changed, len(names))
}

// TestEvidenceForged: who can sign for the provider cannot forge what was sealed, and
// who cannot, nothing.
func TestEvidenceForged(t *testing.T) {
	tools, config := tools(t), evidenceSite(t)
	pecMilter(t, 0, "log", "seal", "--config", config)
	r, err := openReissuer(config)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	message, err := r.message(evidenceID)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := testpki.NewRoot(testpki.Source{Now: time.Now(), Rand: rand.Reader}, "Stranger")
	if err != nil {
		t.Fatal(err)
	}
	strangers := []*x509.Certificate{stranger.Certificate()}
	for name, c := range map[string]struct {
		forge func(*evidence.Evidence)
		want  string
	}{
		"nothing": {func(*evidence.Evidence) {}, ""},
		"a row": {func(e *evidence.Evidence) {
			e.Rows[1].Line = bytes.ReplaceAll(e.Rows[1].Line, []byte("anna@"), []byte("anne@"))
		}, "is not in the seal"},
		"a path":     {func(e *evidence.Evidence) { e.Rows[1].Path[0].Left = !e.Rows[1].Path[0].Left }, "is not in the seal"},
		"no seal":    {func(e *evidence.Evidence) { e.Seals = nil }, "is not in the seal"},
		"a manifest": {func(e *evidence.Evidence) { e.Seals[0].Manifest = bytes.ToUpper(e.Seals[0].Manifest) }, "the signature of seals/"},
		"a stamp":    {func(e *evidence.Evidence) { e.Seals[0].Signature = append(e.Seals[0].Signature, 0) }, "the time stamp of seals/"},
		"a notice": {func(e *evidence.Evidence) {
			e.Notices[0].Message = strings.NewReader("From: x@x.example\r\n\r\nyes\r\n")
		}, "the signature of notices/"},
		"authorities": {func(e *evidence.Evidence) { e.Authorities = strangers }, "the signature of SHA256SUMS"},
		"stampers":    {func(e *evidence.Evidence) { e.StampAuthorities = strangers }, "the time stamp of seals/"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := (&evidenceCommand{}).gather(r, message)
			if err != nil {
				t.Fatal(err)
			}
			c.forge(e)
			var archive bytes.Buffer
			if err := e.Write(&archive); err != nil {
				t.Fatal(err)
			}
			dir, _ := unpack(t, archive.Bytes())
			got, code := verifySh(t, tools, dir)
			if (code == 0) != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("exit code %d, want %q\n%s", code, c.want, got)
			}
		})
	}
}

// TestReissue: a notice made again verifies as one of ours, and is logged.
func TestReissue(t *testing.T) {
	config := evidenceSite(t)
	path := filepath.Join(t.TempDir(), "notice.eml")
	if got := pecMilter(t, exitUsage, "receipt", "reissue", evidenceID, "--config", config); !strings.Contains(got, "presa-in-carico  anna@pec.alfa.example  notice1@") {
		t.Errorf("which of several: %s", got)
	}
	pecMilter(t, exitNoInput, "receipt", "reissue", evidenceID, "--config", config, "--kind", "rilevazione-virus")
	pecMilter(t, exitNoInput, "receipt", "reissue", "nobody@x.example", "--config", config)
	pecMilter(t, 0, "receipt", "reissue", "notice2@pec.alfa.example", "--config", config, "--out", path, "--reason", "lost")
	if pecMilter(t, exitUnavailable, "receipt", "reissue", "notice2@pec.alfa.example", "--config", config, "--out", path) == "" {
		t.Error("a file that is there was overwritten")
	}
	dir := filepath.Dir(config)
	got := pecMilter(t, 0, "verify", "--directory", filepath.Join(dir, "providers.ldif"), "--roots", filepath.Join(dir, "roots"),
		"--revocations", filepath.Join(dir, "ca.crl"), path)
	if !strings.Contains(got, "avvenuta-consegna") {
		t.Errorf("verify: %s", got)
	}
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), pec.HeaderReissue+": <notice2@pec.alfa.example>") {
		t.Errorf("%v: no statement in\n%s", err, text)
	}
	printed := pecMilter(t, 0, "log", "search", "--config", config, "--id", evidenceID, "--json", "--kind", "reissued")
	if !strings.Contains(printed, `"related":["notice2@pec.alfa.example"]`) || !strings.Contains(printed, "reason: lost") {
		t.Errorf("not logged: %s", printed)
	}
}
