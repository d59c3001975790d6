package directory

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/pec"
)

// TestSyncForms: a signed file in every form that it may come in, and one that is
// here already.
func TestSyncForms(t *testing.T) {
	o := newOffice(t)
	p7m := o.body
	lines := base64.StdEncoding.EncodeToString(p7m)
	forms := map[string][]byte{
		"DER":            p7m,
		"PEM":            pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: p7m}),
		"PEM, CMS":       pem.EncodeToMemory(&pem.Block{Type: "CMS", Bytes: p7m}),
		"base64":         []byte(lines[:64] + "\r\n" + lines[64:] + "\r\n"),
		"S/MIME":         []byte("MIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime; smime-type=signed-data\r\nContent-Transfer-Encoding: base64\r\n\r\n" + lines),
		"S/MIME with LF": []byte("Content-Type: application/x-pkcs7-mime\n\n" + lines + "\n"),
	}
	for name, body := range forms {
		t.Run(name, func(t *testing.T) {
			o.body = body
			if _, err := o.syncer.Check(t.Context(), o.now); err != nil {
				t.Error(err)
			}
			path := filepath.Join(t.TempDir(), "x.p7m")
			if err := os.WriteFile(path, body, 0o600); err != nil {
				t.Fatal(err)
			}
			local := *o.syncer
			local.From = Server{URL: path}
			if report, err := local.Check(t.Context(), o.now); err != nil || report.Signer == "" {
				t.Errorf("from a file: %+v, %v", report, err)
			}
		})
	}
}

// The signer of an authority that is trusted is trusted; one below another is not.
func TestSignersOfAnAuthority(t *testing.T) {
	o := newOffice(t)
	o.must(testpki.WriteCertificates(o.syncer.Signers, o.pki.other.Certificate()))
	o.sync()
	o.must(testpki.WriteCertificates(o.syncer.Signers, o.pki.root.Certificate(), o.pki.sub.Certificate()))
	if _, err := o.syncer.Sync(t.Context(), o.now); err == nil || !strings.Contains(err.Error(), "whom nobody trusts") {
		t.Errorf("Sync = %v, want a signer whom nobody trusts", err)
	}
	o.body = o.sign(o.pki.stranger, write(t, o.pki.providers()))
	o.sync()
	if _, err := ReadSigners(o.file("client.key")); err == nil {
		t.Error("a key passes for a certificate")
	}
	if _, err := ReadSigners(""); err == nil {
		t.Error("no file passes for signers")
	}
}

// FuzzSignedLDIF: IN-07, the text inside a signed directory is no more to be
// trusted than a plain one, nor is the file around it.
func FuzzSignedLDIF(f *testing.F) {
	p := testPKI(f)
	signer := p.office
	trusted := &Signers{pinned: []*x509.Certificate{signer.Certificate()}, authorities: x509.NewCertPool()}
	files, err := filepath.Glob("testdata/*.ldif")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds in testdata: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, uint16(0))
	}
	f.Add([]byte(write(f, p.providers())), uint16(700))
	f.Add([]byte(signedLine+"2099-01-01T00:00:00Z\n"), uint16(1))
	f.Fuzz(func(t *testing.T, text []byte, flip uint16) {
		p7m, err := pec.SignData(text, signer.Key, signer.Chain, p.now)
		if err != nil {
			t.Fatal(err)
		}
		if at := int(flip) % len(p7m); flip > 0 {
			p7m[at] ^= 1
		}
		taken, err := trusted.open(p7m, p.now)
		if err != nil {
			if flip == 0 {
				t.Fatal(err)
			}
			return
		}
		if string(taken.ldif) != string(text) {
			t.Fatalf("opened %q, want %q", taken.ldif, text)
		}
		syncer := &Syncer{Copy: filepath.Join(t.TempDir(), "none")}
		whole := append(syncer.head(taken), taken.ldif...)
		if got := signedTime(whole); !got.Equal(taken.signed) {
			t.Errorf("the copy says it was signed on %v, want %v", got, taken.signed)
		}
		if report, err := syncer.judge(taken, whole); err == nil {
			checkDirectory(t, report.Directory)
		}
	})
}
