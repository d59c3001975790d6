package config

import (
	"reflect"
	"slices"
	"testing"
	"time"
)

func TestChanged(t *testing.T) {
	if got := Changed(defaults(), defaults()); len(got) > 0 {
		t.Errorf("Changed of the same = %v, want none", got)
	}
	next := defaults()
	next.Antivirus = AntivirusNone
	next.Provider.Domains = []string{"alfa.example"}
	next.MTA.ContentTimeout.Duration = time.Minute
	next.DirectoryMirror.User = "cn=pec-milter"
	slot := 1
	next.Signer.TokenSlot = &slot
	want := []string{"antivirus", "provider.domains", "mta.content_timeout", "signer.token_slot", "directory_mirror.user"}
	if got := Changed(defaults(), next); !slices.Equal(got, want) {
		t.Errorf("Changed = %v, want %v", got, want)
	}
}

// Each key is one setting: the tables are gone through to their end.
func TestSettings(t *testing.T) {
	all := settingsOf(reflect.ValueOf(defaults()).Elem(), "")
	if len(all) < 80 {
		t.Errorf("found %d settings, want all", len(all))
	}
	seen := map[string]bool{}
	for _, s := range all {
		if seen[s.key] {
			t.Errorf("%s is there twice", s.key)
		}
		seen[s.key] = true
	}
	for _, key := range []string{"antivirus", "directory_sync.tls_ca", "directory_mirror.tls_ca", "legal_log.late"} {
		if !seen[key] {
			t.Errorf("%s is not among them", key)
		}
	}
}
