package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pec-milter/pec-milter/pec"
)

func TestTable(t *testing.T) {
	accepted := arrives(pec.Acceptance, sender, alfa, certified(nobody))
	wrong := failed(pec.NonDelivery, sender, beta, nobody, "altro 5.2.2")
	unknown := failed(pec.NonDelivery, sender, beta, nobody, "no-dest 5.1.1")
	results := []result{
		{"unknown-recipient", rowsOf(compare([]due{answered(250), accepted, unknown}, []due{answered(250), accepted, unknown}), nil, nil)},
		{"full-mailbox", rowsOf(compare([]due{accepted, unknown}, []due{wrong, accepted}), nil, errors.New("missing"))},
		{"virus-in", rowsOf(compare([]due{accepted}, []due{accepted}), errors.New("a breach"), nil)},
		{"refused", rowsOf(compare([]due{accepted}, []due{accepted}), nil, errors.New("restoring:\nthe antivirus does not start, for a long reason"))},
	}
	want := `
Expected and got

scenario          expected                               got
unknown-recipient client: 250                            client: 250                            ok
                  mario: accettazione                    mario: accettazione                    ok
                  mario: errore-consegna 5.1.1           mario: errore-consegna 5.1.1           ok
                  all signed, valid and logged           all signed, valid and logged           ok
full-mailbox      mario: accettazione                    mario: accettazione                    ok
                  mario: errore-consegna 5.1.1                                                  BAD
                                                         mario: errore-consegna 5.2.2           BAD
                  all signed, valid and logged           all signed, valid and logged           ok
virus-in          mario: accettazione                    mario: accettazione                    ok
                  all signed, valid and logged           no: see its checks                     BAD
refused           mario: accettazione                    mario: accettazione                    ok
                  all signed, valid and logged           error: restoring: the antivirus does … BAD

3 of 4 scenarios not as expected
`
	var out bytes.Buffer
	(&page{out: &out}).table(results)
	if out.String() != want {
		t.Errorf("table:\n%s\nwant:\n%s", out.String(), want)
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
			t.Errorf("a line of %d columns: %q", n, line)
		}
	}
	if err := badOnes(results); err == nil || err.Error() != "not as expected: full-mailbox, virus-in, refused" {
		t.Errorf("badOnes() = %v, want the three", err)
	}
	if err := badOnes(results[:1]); err != nil {
		t.Errorf("badOnes() = %v of what is as expected", err)
	}
}

// TestEmptyResult: what has no rows was not played, and is not good.
func TestEmptyResult(t *testing.T) {
	if (result{name: "refused"}).ok() {
		t.Error("a scenario without rows is ok")
	}
}
