package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// example is the file that operators start from.
const example = "../../contrib/pec-milter.toml"

func TestLoadExample(t *testing.T) {
	t.Setenv("TMPDIR", "")
	got, err := Load(example)
	if err != nil {
		t.Fatalf("Load(%s) error = %v", example, err)
	}
	directory, err := filepath.Abs(filepath.Dir(example))
	if err != nil {
		t.Fatal(err)
	}
	here := func(name string) string { return filepath.Join(directory, name) }
	spool := "/var/spool/postfix/pec-milter/"
	want := &Config{
		Antivirus: "clamd",
		Provider: Provider{
			Name: "Alfa PEC S.p.A.", Domain: "alfa.example", Domains: []string{"alfa.example", "pec.cliente.example"},
			Address: "posta-certificata@alfa.example", MailReceipt: "ricevute@alfa.example", SecretFile: here("secret"),
		},
		Access:   Access{Listen: Socket{Network: "unix", Address: spool + "access.sock"}, MaxRecipients: 500},
		Incoming: Incoming{Listen: Socket{Network: "unix", Address: spool + "incoming.sock"}},
		Delivery: Delivery{
			Listen:  Socket{Network: "unix", Address: spool + "delivery.sock"},
			Mailbox: Socket{Network: "unix", Address: "/var/run/dovecot/lmtp"},
		},
		Inject: Inject{"127.0.0.1:10027", "localhost"},
		MTA: MTA{
			ContentTimeout: Duration{Duration: 5 * time.Minute}, MaxSize: 134217728, SpoolDirectory: "/tmp",
			MaxSpool: 4294967296, MinFree: 268435456, MaxConnections: 1000,
		},
		Clamd: Clamd{
			Socket{Network: "unix", Address: "/run/clamav/clamd.ctl"}, Duration{Duration: 2 * time.Minute},
		},
		Quarantine: Quarantine{"/var/lib/pec-milter/quarantine"},
		Signer: Signer{
			CertificateFile: here("signer.pem"), Timeout: Duration{Duration: 20 * time.Second},
			SignerToken: SignerToken{Module: "/usr/lib/softhsm/libsofthsm2.so", Token: "pec", KeyLabel: "pec", PINFile: here("pin")},
		},
		Directory: Directory{
			LDIF: "/var/lib/pec-milter/providers.ldif", Roots: here("roots"), RevocationCache: "/var/lib/pec-milter/revocations",
			RevocationInterval: Duration{Duration: time.Hour},
		},
		Accounts: Accounts{here("accounts")},
		State:    State{File: "/var/lib/pec-milter/pec.db"},
		Redis:    Redis{Prefix: "pec:"},

		DirectorySync: DirectorySync{Interval: Duration{Duration: time.Hour}},

		PostgreSQL: PostgreSQL{Port: 5432},
		LegalLog: LegalLog{
			Directory: "/var/lib/pec-milter/legal-log", Anchors: "/var/lib/pec-milter/pec.db-anchors", MaxRows: 1000000,
			Late: Duration{Duration: 26 * time.Hour},
		},
		Log: Log{Format: "text", Addresses: "plain"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Load(%s) = %+v, want %+v", example, got, want)
	}
}

// What the example shows as defaults are the defaults.
func TestExampleShowsDefaults(t *testing.T) {
	t.Setenv("TMPDIR", "")
	content, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(content), "\n")
	shown := 0
	for i, line := range lines {
		if rest, ok := strings.CutPrefix(line, "#"); ok && rest != "" && rest[0] != ' ' {
			lines[i] = rest
			shown++
		}
	}
	if want := 33; shown != want {
		t.Errorf("example shows %d defaults, want %d", shown, want)
	}
	path := filepath.Join(t.TempDir(), "pec-milter.toml")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if err != nil {
		t.Fatalf("Load() with the defaults written out: error = %v", err)
	}
	want := defaults()
	want.Access.Listen, want.Clamd.Socket = got.Access.Listen, got.Clamd.Socket
	if got.MTA != want.MTA || got.Inject.Hello != want.Inject.Hello || got.Signer.Timeout != want.Signer.Timeout || got.Signer.Sessions != want.Signer.Sessions ||
		got.Log != want.Log || got.Access != want.Access || got.Delivery.BriefDecoded || got.Clamd != want.Clamd ||
		got.Directory.RevocationInterval != want.Directory.RevocationInterval || got.Directory.RevocationGrace != want.Directory.RevocationGrace ||
		got.State.Node != want.State.Node || got.DirectorySync != want.DirectorySync || got.Incoming.SHA1Until != want.Incoming.SHA1Until || got.Incoming.RequireTLS ||
		got.LegalLog.MaxRows != want.LegalLog.MaxRows || got.LegalLog.Late != want.LegalLog.Late || !reflect.DeepEqual(got.Redis, want.Redis) {
		t.Errorf("defaults written out give %+v, want %+v", got, want)
	}
}

// Every key has its line in the example, in the part of its table.
func TestExampleHasEveryKey(t *testing.T) {
	content, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	sections := make(map[string]string)
	table := ""
	for line := range strings.Lines(string(content)) {
		if name, ok := strings.CutPrefix(line, "["); ok {
			table = strings.TrimSuffix(strings.TrimSpace(name), "]")
			continue
		}
		sections[table] += strings.TrimLeft(line, "# ")
	}
	keys := 0
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		table := field.Tag.Get("toml")
		if field.Type.Kind() != reflect.Struct {
			continue
		}
		for _, key := range reflect.VisibleFields(field.Type) {
			if key.Anonymous {
				continue // its own keys come too
			}
			keys++
			name := key.Tag.Get("toml")
			line := name + " = "
			if key.Type.Kind() == reflect.Slice && key.Type.Elem().Kind() == reflect.Struct && key.Type.Elem() != reflect.TypeFor[Socket]() {
				line = "[[" + table + "." + name + "]]"
			}
			if !strings.Contains("\n"+sections[table], "\n"+line) {
				t.Errorf("example has no line for %s.%s", table, name)
			}
		}
	}
	if keys < 30 {
		t.Errorf("%d keys found, want at least 30: does the test look at the right types?", keys)
	}
}

// Each file of testdata/bad (OP-01 and OP-02 among them) has one fault (or the few that its name says)
// against the example; beside it, in .want, the whole error.
func TestBadConfigurations(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.toml")
	if err != nil || len(files) < 20 {
		t.Fatalf("testdata/bad has %d configurations (%v), want at least 20", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".toml"), func(t *testing.T) {
			want, err := os.ReadFile(strings.TrimSuffix(file, ".toml") + ".want")
			if err != nil {
				t.Fatal(err)
			}
			_, err = Load(file)
			if err == nil {
				t.Fatal("Load() gave no error")
			}
			if got := err.Error() + "\n"; got != string(want) {
				t.Errorf("Load() error =\n%swant\n%s", got, want)
			}
		})
	}
}

func TestLoadUnreadable(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.toml")
	if _, err := Load(missing); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("Load() error = %v, want one that names %s", err, missing)
	}
}

func TestLoadNormalises(t *testing.T) {
	got, err := Load("testdata/good.toml")
	if err != nil {
		t.Fatalf("Load() error = %v", err)
	}
	if want := "beta.example"; got.Provider.Domain != want || got.Provider.Domains[0] != want {
		t.Errorf("domains = %q and %q, want %q", got.Provider.Domain, got.Provider.Domains, want)
	}
	if want := "Posta-Certificata@beta.example"; got.Provider.Address != want {
		t.Errorf("address = %q, want %q", got.Provider.Address, want)
	}
	if got, want := got.Delivery.Listen.String(), "inet:127.0.0.1:24"; got != want {
		t.Errorf("delivery.listen = %q, want %q", got, want)
	}
	here, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(here, "run/in.sock"); got.Incoming.Listen.Address != want {
		t.Errorf("incoming.listen = %q, want %q", got.Incoming.Listen.Address, want)
	}
	if got.Access.MaxTotal != 30_000_000 || got.Access.MaxRecipients != 50 {
		t.Errorf("access limits = %d and %d, want 30000000 and 50", got.Access.MaxTotal, got.Access.MaxRecipients)
	}
	if !got.Access.StrictRecipients || !got.Delivery.BriefDecoded || !got.Incoming.RequireTLS {
		t.Errorf("access.strict_recipients = %v, delivery.brief_decoded = %v, incoming.require_tls = %v, want true",
			got.Access.StrictRecipients, got.Delivery.BriefDecoded, got.Incoming.RequireTLS)
	}
	if want := time.Date(2027, 7, 1, 0, 0, 0, 0, time.UTC); !got.Incoming.SHA1Until.Equal(want) {
		t.Errorf("incoming.sha1_until = %v, want %v", got.Incoming.SHA1Until, want)
	}
	if got.Directory.RevocationGrace.Duration != 12*time.Hour {
		t.Errorf("directory.revocation_grace = %v, want 12h", got.Directory.RevocationGrace)
	}
	if got.Metrics.Listen.Address != "0.0.0.0:9790" || !got.Metrics.Insecure {
		t.Errorf("metrics = %+v, want any address", got.Metrics)
	}
	if slot := got.Signer.TokenSlot; slot == nil || *slot != 0 || string(got.Signer.KeyID.Bytes) != "\x0a\x1b" {
		t.Errorf("token_slot = %v, key_id = %x, want 0 and 0a1b", slot, got.Signer.KeyID.Bytes)
	}
}

// The tokens of the example file, and spares that have what the table above has.
func TestSpareTokens(t *testing.T) {
	content, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	spare := "[[signer.spare]]\nmodule = \"other.so\"\ntoken_slot = 3\nkey_label = \"pec\"\npin_file = \"pin3\"\nsessions = 4\n"
	path := filepath.Join(t.TempDir(), "pec-milter.toml")
	if err := os.WriteFile(path, append(content, spare...), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	here := filepath.Dir(path)
	if s := got.Signer.Spares; len(s) != 1 || s[0].Module != filepath.Join(here, "other.so") || s[0].PINFile != filepath.Join(here, "pin3") ||
		s[0].TokenSlot == nil || *s[0].TokenSlot != 3 || s[0].KeyLabel != "pec" || s[0].Sessions != 4 {
		t.Errorf("spares = %+v", s)
	}
	if err := got.CheckFiles(); err == nil || !strings.Contains(err.Error(), "signer.spare.module: ") || !strings.Contains(err.Error(), "signer.spare.pin_file: ") {
		t.Errorf("CheckFiles() error = %v, want one of each file of the spare", err)
	}
}
