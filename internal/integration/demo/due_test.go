package main

import (
	"slices"
	"testing"

	"github.com/pec-milter/pec-milter/internal/integration"
	"github.com/pec-milter/pec-milter/pec"
)

func TestCompare(t *testing.T) {
	envelope := arrives(pec.Envelope, remote, alfa, certified(remote))
	receipt := arrives(pec.Delivery, sender, beta, remote)
	forgery := arrives(pec.Delivery, sender, alfa, remote)
	for _, c := range []struct {
		name          string
		expected, got []due
		want          []pair
	}{
		{"as expected, in another order", []due{envelope, receipt}, []due{receipt, envelope},
			[]pair{{envelope, envelope}, {receipt, receipt}}},
		{"missing", []due{envelope, receipt}, []due{receipt}, []pair{{envelope, due{}}, {receipt, receipt}}},
		{"not due", []due{envelope}, []due{receipt, envelope}, []pair{{envelope, envelope}, {due{}, receipt}}},
		{"twice", []due{envelope}, []due{envelope, envelope}, []pair{{envelope, envelope}, {due{}, envelope}}},
		{"due twice", []due{receipt, receipt}, []due{receipt}, []pair{{receipt, receipt}, {receipt, due{}}}},
		{"by another provider", []due{receipt}, []due{forgery}, []pair{{receipt, due{}}, {due{}, forgery}}},
		{"nothing due, nothing there", nil, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := compare(c.expected, c.got); !slices.Equal(got, c.want) {
				t.Errorf("compare() = %v, want %v", got, c.want)
			}
		})
	}
}

func TestFailure(t *testing.T) {
	for _, c := range []struct{ err, detail, want string }{
		{"nessuno", "", ""},
		{"altro", "", "altro"},
		{"altro", "- the first reason\n- the second", "altro"},
		{"altro", "non è stato consegnato - nelle prime dodici ore", "altro"},
		{"no-dest", "5.1.1 - Beta PEC S.p.A. - indirizzo non valido", "no-dest 5.1.1"},
	} {
		a := arrival{certified: &integration.Certified{Data: integration.CertificationData{Error: c.err, Detail: c.detail}}}
		if got := a.failure(); got != c.want {
			t.Errorf("failure() of errore %q, errore-esteso %q = %q, want %q", c.err, c.detail, got, c.want)
		}
	}
}
