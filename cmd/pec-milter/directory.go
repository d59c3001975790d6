package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"os"

	"github.com/pec-milter/pec-milter/internal/config"
	"github.com/pec-milter/pec-milter/internal/directory"
)

// directoryCommands are the commands on the PEC providers directory.
type directoryCommands struct {
	Sync    syncCommand    `cmd:"" help:"Fetch the directory now, and write the LDAP mirror."`
	List    listCommand    `cmd:"" help:"Print all records, one a line."`
	Show    showCommand    `cmd:"" help:"Print the records of a provider, a domain or a certificate."`
	Diff    diffCommand    `cmd:"" help:"Say what another file would change."`
	Publish publishCommand `cmd:"" help:"Write our own record, signed."`
}

// newSyncer is what fetches the directory as the configuration says; nil: nothing
// does.
func newSyncer(c *config.Config) (*directory.Syncer, error) {
	if !c.DirectorySync.Used() {
		return nil, nil
	}
	from, err := server(c.DirectorySync.From, &c.DirectorySync.DirectoryServer)
	if err != nil {
		return nil, fmt.Errorf("directory_sync.password_file: %w", err)
	}
	s := &directory.Syncer{Copy: c.Directory.LDIF, From: *from, Signers: c.DirectorySync.Signers, Own: own(c)}
	if c.DirectoryMirror.Used() {
		if s.Mirror, err = server(c.DirectoryMirror.URL, &c.DirectoryMirror.DirectoryServer); err != nil {
			return nil, fmt.Errorf("directory_mirror.password_file: %w", err)
		}
	}
	return s, nil
}

func server(url string, c *config.DirectoryServer) (*directory.Server, error) {
	password, err := c.ReadPassword()
	if err != nil {
		return nil, err
	}
	return &directory.Server{
		URL: url, User: c.User, Password: string(password.Reveal()), CA: c.TLSCA, Certificate: c.TLSCertificate, Key: c.TLSKey,
	}, nil
}

// own is who we are in the directory.
func own(c *config.Config) directory.Own {
	return directory.Own{Name: c.Provider.Name, Domains: c.Provider.Domains}
}

// interrupted is a context that ends with SIGINT or SIGTERM.
func interrupted() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}

// refusal gives an error of a fetch its exit code: 1 if what came is bad.
func refusal(err error) error {
	if errors.Is(err, directory.ErrRefused) {
		return &exit{1, err}
	}
	return err
}

type syncCommand struct {
	Config string `required:"" type:"path" placeholder:"FILE" help:"The configuration."`
	JSON   bool   `name:"json" help:"One JSON object a line: the changes."`
	Force  bool   `help:"Take a directory that has lost nine records of ten, or was signed before the one that is here."`
}

// Run fetches once. It may run beside the daemon, which sees the new directory by
// itself.
func (s *syncCommand) Run(o out) error {
	c, err := loadConfig(s.Config)
	if err != nil {
		return err
	}
	syncer, err := newSyncer(c)
	if err != nil {
		return &exit{exitConfig, err}
	}
	if syncer == nil {
		return &exit{exitConfig, fmt.Errorf("%s: directory_sync.from is missing: nothing says where the directory is fetched from", s.Config)}
	}
	syncer.Force = s.Force
	bar := newProgress(os.Stderr, "kB")
	syncer.Progress = func(read, total int64) { bar.show(read/1000, total/1000) }
	ctx, stop := interrupted()
	defer stop()
	report, err := syncer.Sync(ctx, time.Now())
	bar.end()
	if report == nil {
		return refusal(err)
	}
	return errors.Join(printReport(o, report, s.JSON), err)
}

type diffCommand struct {
	Config string `required:"" type:"path" placeholder:"FILE" help:"The configuration."`
	JSON   bool   `name:"json" help:"One JSON object a line: the changes."`
	File   string `arg:"" type:"path" help:"A directory: LDIF, or signed (.p7m)."`
}

// Run judges a file as if it had been fetched. The exit code is 1 if it would be
// refused.
func (d *diffCommand) Run(o out) error {
	c, err := loadConfig(d.Config)
	if err != nil {
		return err
	}
	syncer := &directory.Syncer{Copy: c.Directory.LDIF, Signers: c.DirectorySync.Signers, Own: own(c)}
	report, err := syncer.CheckFile(d.File, time.Now())
	if errors.Is(err, directory.ErrRefused) {
		return &exit{1, err}
	}
	if err != nil {
		return &exit{exitNoInput, err}
	}
	return printReport(o, report, d.JSON)
}

// printReport prints what a directory changes, then what it is.
func printReport(w io.Writer, r *directory.Report, asJSON bool) error {
	if asJSON {
		return printJSON(w, r.Changes)
	}
	for _, fault := range r.Faults {
		fmt.Fprintf(w, "left out: %v\n", fault)
	}
	for _, change := range r.Changes {
		printChange(w, &change)
	}
	signed := "not signed"
	if r.Signer != "" {
		signed = "signed by " + r.Signer
	}
	if !r.Signed.IsZero() {
		signed += " on " + r.Signed.UTC().Format(time.RFC3339)
	}
	_, err := fmt.Fprintf(w, "%d records, %d changed; %s\n", len(r.Directory.Providers()), len(r.Changes), signed)
	if m := r.Mirror; m != nil && err == nil {
		_, err = fmt.Fprintf(w, "LDAP mirror: %d added, %d changed, %d removed, %d left out\n", m.Added, m.Changed, m.Removed, m.LeftOut)
	}
	return err
}

func printChange(w io.Writer, c *directory.Change) {
	fmt.Fprintf(w, "%s: %s\n", c.Kind, strings.TrimSuffix(c.Name+" / "+c.Unit, " / "))
	for _, part := range []struct {
		sign   string
		values []string
	}{
		{"+ domain", c.DomainsAdded}, {"- domain", c.DomainsRemoved},
		{"+ certificate", c.CertificatesAdded}, {"- certificate", c.CertificatesRemoved}, {"~", c.Values},
	} {
		for _, value := range part.values {
			fmt.Fprintf(w, "  %s %s\n", part.sign, value)
		}
	}
}

func printJSON[T any](w io.Writer, all []T) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	for i := range all {
		if err := encoder.Encode(all[i]); err != nil {
			return err
		}
	}
	return nil
}
