package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/pec-milter/pec-milter/internal/directory"
	"github.com/pec-milter/pec-milter/pec"
)

type verifyCommand struct {
	JSON        bool       `name:"json" help:"One JSON object a line, for each file."`
	Directory   string     `type:"path" placeholder:"FILE" help:"The PEC providers directory, LDIF. Without it that check is not made."`
	Roots       string     `type:"path" placeholder:"DIR" help:"The trusted authorities, PEM. Without it those of the system."`
	Revocations []string   `type:"path" placeholder:"FILE" help:"Revocation lists, PEM or DER. Without them that check is not made."`
	At          judgedAt   `default:"now" placeholder:"signing|now|TIME" help:"When certificates have to be valid: now (the default), when the message was signed, or at a time (2006-01-02 or RFC 3339)."`
	SHA1Until   optionTime `name:"sha1-until" placeholder:"TIME" help:"From when on signatures with SHA-1 are refused. Without it they count, as weak."`
	Files       []string   `arg:"" name:"file" help:"Messages as saved by a mail client."`
}

// optionTime is a time on the command line; zero where it is not given.
type optionTime struct{ time.Time }

// UnmarshalText reads a date, or a time as RFC 3339 has it.
func (o *optionTime) UnmarshalText(text []byte) (err error) {
	if o.Time, err = time.Parse(time.DateOnly, string(text)); err != nil {
		o.Time, err = time.Parse(time.RFC3339, string(text))
	}
	if err != nil {
		return fmt.Errorf("%q is neither 2006-01-02 nor 2006-01-02T15:04:05+01:00", text)
	}
	return nil
}

// judgedAt is when certificates have to be valid.
type judgedAt struct {
	optionTime      // zero: now
	signing    bool // when the message was signed
}

// UnmarshalText reads "now", "signing" or a time.
func (j *judgedAt) UnmarshalText(text []byte) error {
	switch string(text) {
	case "now":
		return nil
	case "signing":
		j.signing = true
		return nil
	}
	return j.optionTime.UnmarshalText(text)
}

// Run verifies each file; the exit code is 0 only if every one is genuine. A
// file that cannot be read does not keep the others from being verified.
func (v *verifyCommand) Run(o out) error {
	by, err := v.verification()
	if err != nil {
		return &exit{exitNoInput, err}
	}
	bad := false
	var unread error
	for _, path := range v.Files {
		f, err := examine(path, by)
		if err != nil {
			unread = errors.Join(unread, err)
			continue
		}
		bad = bad || !f.Genuine
		if err := v.print(o, f); err != nil {
			return err
		}
	}
	switch {
	case unread != nil:
		return &exit{exitNoInput, unread}
	case bad:
		return errBad
	}
	return nil
}

func (v *verifyCommand) print(o out, f *fileFinding) error {
	if v.JSON {
		return json.NewEncoder(o).Encode(f)
	}
	return f.print(o)
}

// verification is how all files are verified. A check counts if what it needs was
// given; but there may be no revocation list of a time that is past.
func (v *verifyCommand) verification() (pec.Verification, error) {
	trust, err := directory.ReadTrust(directory.Config{
		LDIF: v.Directory, Roots: v.Roots, Revocations: v.Revocations, SHA1Until: v.SHA1Until.Time,
	}, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return pec.Verification{}, err
	}
	return pec.Verification{
		Trust: trust, Now: time.Now(), At: v.At.Time, AtSigning: v.At.signing,
		WithoutLists: len(v.Revocations) == 0 || v.At.signing || !v.At.IsZero(),
	}, nil
}

// examine verifies the PEC messages of one file, by the rules of the incoming
// door. What counts are those that no other one encloses: the message itself, or
// if it is an ordinary one those that it carries.
func examine(path string, by pec.Verification) (*fileFinding, error) {
	file, message, err := openMessage(path)
	if errors.Is(err, pec.ErrHeader) {
		return &fileFinding{File: path, Problem: "no message: " + err.Error()}, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	f := &fileFinding{File: path}
	add := func(found pec.Found) error { return f.add(found, by) }
	if err = pec.WalkPEC(message, add); err == nil && !f.anyCounts() {
		err = f.addItself(message, by)
	}
	switch {
	case errors.Is(err, pec.ErrStructure):
		f.Problem = err.Error()
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	default:
		f.judge()
	}
	return f, nil
}

// addItself verifies a message that makes no claim: it says why it is none of
// PEC.
func (f *fileFinding) addItself(m pec.Message, by pec.Verification) error {
	report, err := pec.Verify(m, by)
	if err != nil {
		return err
	}
	f.Messages = append([]messageFinding{describe("", report)}, f.Messages...)
	return nil
}
