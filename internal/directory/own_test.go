package directory

import (
	"testing"

	"github.com/pec-milter/pec-milter/pec"
)

// TestOwnDomains: IN-08, our domains may have the name that they had.
func TestOwnDomains(t *testing.T) {
	ours := func(name string) *Directory {
		return newDirectory([]*pec.Provider{{Name: name, Domains: []string{"alfa.example"}}})
	}
	tests := []struct {
		name     string
		old, now *Directory
		bad      bool
	}{
		{"our name", nil, ours("ALFA"), false},
		{"another, first copy", nil, ours("Beta"), true},
		{"another", ours("Alfa"), ours("Beta"), true},
		{"known by another name before", ours("Alfa S.p.A."), ours("Alfa S.p.A."), false},
		{"back to our name", ours("Alfa S.p.A."), ours("Alfa"), false},
		{"nobody's", ours("Alfa"), newDirectory([]*pec.Provider{{Name: "Beta", Domains: []string{"beta.example"}}}), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := (Own{Name: "Alfa", Domains: []string{"alfa.example"}}).check(test.old, test.now)
			if (err != nil) != test.bad {
				t.Errorf("check = %v, want an error: %v", err, test.bad)
			}
		})
	}
}

// TestOwnDomainsInAFile: IN-08, a file that an operator's own job puts there is
// refused too if it gives our domains away.
func TestOwnDomainsInAFile(t *testing.T) {
	b := newBench(t)
	b.config.Own = Own{Name: "Alfa S.p.A.", Domains: []string{"alfa.example"}}
	b.open()
	providers := b.pki.providers()
	providers[0].Domains, providers[2].Domains = []string{"other.example"}, []string{"alfa.example"}
	b.put(b.config.LDIF, write(t, providers))
	if p := b.current().Directory.ByDomain("alfa.example"); p.Name != "Alfa S.p.A." {
		t.Errorf("alfa.example is given to %s", p.Name)
	}
	b.wantLogged("our domain alfa.example is claimed by another provider", 1)
}
