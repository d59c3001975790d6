package pec

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func sampleData() CertificationData {
	return CertificationData{
		Kind: Delivery, Error: NoError, Sender: "mario@pec.alfa.example",
		Recipients: []Recipient{{"anna@pec.beta.example", Certified}, {"luca@example.org", Ordinary}},
		ReplyTo:    "", Subject: "Prova", Provider: "Beta PEC S.p.A.",
		Time: time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC), ID: "pecabc@pec.alfa.example", Reference: "<m1@client.example>",
		ReceiptType: Complete, Delivered: "anna@pec.beta.example",
	}
}

func TestCertificationDataRoundTrip(t *testing.T) {
	for name, change := range map[string]func(*CertificationData){
		"delivery":                  func(*CertificationData) {},
		"XM-06 entities in subject": func(d *CertificationData) { d.Subject = `&amp; &#0; <!-- --> <?x?> <![CDATA[x]]>` },
		"XM-06 markup in subject":   func(d *CertificationData) { d.Subject = `]]> <dati> & "quotes" 'x'` },
		"accents and emoji":         func(d *CertificationData) { d.Subject = "perché è così 🙂" },
		"server-server acceptance": func(d *CertificationData) {
			d.Kind, d.TakenFor = ServerAcceptance, []string{"a@b.example", "c@b.example"}
		},
		"failure": func(d *CertificationData) {
			d.Kind, d.Error, d.Detail = NonDelivery, WrongMailbox, "5.1.1 - Beta - indirizzo non valido"
		},
		"no reference": func(d *CertificationData) { d.Reference = "" },
		"summer time":  func(d *CertificationData) { d.Time = time.Date(2026, 7, 1, 22, 0, 0, 0, time.UTC) },
	} {
		t.Run(name, func(t *testing.T) {
			want := sampleData()
			change(&want)
			got, err := ParseCertificationData(strings.NewReader(string(want.XML())))
			if err != nil {
				t.Fatal(err)
			}
			if !got.Time.Equal(want.Time) {
				t.Errorf("time: got %v, want %v", got.Time, want.Time)
			}
			got.Time = want.Time
			if !reflect.DeepEqual(*got, want) {
				t.Errorf("got  %+v\nwant %+v", *got, want)
			}
		})
	}
}

// TestForbiddenCharacters: XM-06, what XML 1.0 does not allow becomes U+FFFD.
func TestForbiddenCharacters(t *testing.T) {
	d := sampleData()
	d.Subject = "a\x00b\x1fc\uFFFEd\xed\xa0\x80e"
	got, err := ParseCertificationData(strings.NewReader(string(d.XML())))
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(got.Subject, "\x00\x1f\uFFFE") || !strings.HasPrefix(got.Subject, "a\uFFFDb\uFFFDc\uFFFDd") {
		t.Errorf("subject: got %q", got.Subject)
	}
}

func TestCertificationDataRefused(t *testing.T) {
	d := sampleData()
	good := string(d.XML())
	replace := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("sample lacks %q", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	deep := strings.Repeat("<postacert>", 100_000)
	for name, bad := range map[string]string{
		"XM-01 external entity":            replace("<postacert", `<!DOCTYPE postacert [<!ENTITY x SYSTEM "file:///etc/passwd">]><postacert`),
		"XM-01 entity without declaration": replace("Prova", "&x;"),
		"XM-02 billion laughs":             replace("<postacert", `<!DOCTYPE p [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><postacert`),
		"XM-03 two subjects":               replace("<oggetto>Prova</oggetto>", "<oggetto>Prova</oggetto><oggetto>Altro</oggetto>"),
		"XM-03 two senders":                replace("<mittente>", "<mittente>x@y.example</mittente><mittente>"),
		"XM-03 two identifiers":            replace("<identificativo>", "<identificativo>x@y.example</identificativo><identificativo>"),
		"XM-03 attribute twice":            replace(`errore="nessuno"`, `errore="nessuno" errore="virus"`),
		"XM-04 second root":                good + good,
		"XM-04 garbage after the root":     good + "garbage",
		"XM-01 parameter entity":           replace("<postacert", `<!DOCTYPE postacert [<!ENTITY % x SYSTEM "http://127.0.0.1/x.dtd">%x;]><postacert`),
		"XM-01 external DTD":               replace("<postacert", `<!DOCTYPE postacert SYSTEM "postacert.dtd"><postacert`),
		"XM-04 processing instruction":     good + "<?x y?>",
		"XM-07 UTF-16 declared":            replace("UTF-8", "UTF-16"),
		"XM-07 ISO-8859-1 declared":        replace("UTF-8", "ISO-8859-1"),
		"XM-07 ISO-8859-1, UTF-8 declared": replace("Prova", "Perch\xe9"),
		"XM-07 UTF-16":                     "\xff\xfe<\x00p\x00o\x00s\x00t\x00a\x00c\x00e\x00r\x00t\x00>\x00",
		"XM-07 two byte order marks":       "\ufeff\ufeff" + good,
		"XM-08 deep nesting":               deep,
		"XM-08 a million elements":         strings.Repeat("<a>", 1_000_000),
		"XM-08 a million elements inside":  replace("<consegna>", strings.Repeat("<consegna>", 1_000_000)),
		"XM-08 long attribute":             replace(`errore="nessuno"`, `errore="`+strings.Repeat("x", 10<<20)+`"`),
		"XM-08 long text":                  replace("Prova", strings.Repeat("x", 10<<20)),
		"XM-08 long comment":               replace("Prova", "<!--"+strings.Repeat("x", 10<<20)+"-->"),
		"no recipients":                    strings.NewReplacer("destinatari", "altri").Replace(good),
		"unknown kind":                     replace("avvenuta-consegna", "altra"),
		"unknown element":                  replace("<consegna>", "<extra></extra><consegna>"),
		"element inside text":              replace("Prova", "<b>Prova</b>"),
		"wrong order":                      strings.NewReplacer("<dati>", "<intestazione>", "</dati>", "</intestazione>", "<intestazione>", "<dati>", "</intestazione>", "</dati>").Replace(good),
		"namespace":                        replace("<postacert ", `<postacert xmlns="http://x.example" `),
		"date":                             replace("14/03/2026", "2026-03-14"),
		"empty":                            "",
		"text between elements":            replace("<dati>", "<dati>text"),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			got, err := ParseCertificationData(strings.NewReader(bad))
			if !errors.Is(err, ErrCertificationData) || got != nil {
				t.Errorf("got %v, %v, want an error that wraps ErrCertificationData", got, err)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// FuzzCertificationData: XM-08, whatever the XML, there is a value or an error that
// wraps ErrCertificationData, and a value can be written and read again.
func FuzzCertificationData(f *testing.F) {
	d := sampleData()
	f.Add(string(d.XML()))
	f.Add("<postacert/>")
	f.Fuzz(func(t *testing.T, in string) {
		got, err := ParseCertificationData(strings.NewReader(in))
		if (got == nil) != (err != nil) {
			t.Fatalf("value and error together, or neither: %v, %v", got, err)
		}
		if err != nil {
			return
		}
		again, err := ParseCertificationData(strings.NewReader(string(got.XML())))
		if err != nil {
			t.Fatalf("what was read cannot be written and read again: %v", err)
		}
		if again.ID != got.ID || len(again.Recipients) != len(got.Recipients) {
			t.Errorf("got %+v, want %+v", again, got)
		}
	})
}
