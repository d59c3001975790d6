//go:build faults

package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pec-milter/pec-milter/internal/fault"
	"github.com/pec-milter/pec-milter/internal/point"
)

func TestInjectFaults(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fault")
	for _, c := range []struct {
		name, order, file, content string
		wrong                      string // what the error says; empty: none
		wrapped                    bool
	}{
		{name: "not asked for"},
		{name: "order", order: "inject.before:1:err", wrapped: true},
		{name: "file", file: path, content: "inject.before:1:err\n", wrapped: true},
		{name: "no file yet", file: path + ".none", wrapped: true},
		{name: "unknown point", order: "outbox:1:kill", wrong: "PEC_FAULT: fault \"outbox:1:kill\": there is no point \"outbox\"; there are: directory.before"},
		{name: "unknown act in the file", file: path, content: "inject.before:1:stop", wrong: "PEC_FAULT_FILE: fault"},
		{name: "both", order: "inject.before:1:err", file: path, wrong: "set one of them"},
		{name: "unreadable", file: filepath.Dir(path), wrong: "is a directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv(faultOrder, c.order)
			t.Setenv(faultFile, c.file)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			s, open := &services{provider: &point.Provider{}}, sockets{"access": l}
			err = injectFaults(s, open, slog.New(slog.DiscardHandler))
			if (err != nil) != (c.wrong != "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
				t.Fatalf("error %v, want one with %q", err, c.wrong)
			}
			if wrapped := s.provider.Injector != nil; wrapped != c.wrapped || (open["access"] != l) != c.wrapped {
				t.Errorf("effects wrapped %v, socket wrapped %v, want %v", wrapped, open["access"] != l, c.wrapped)
			}
		})
	}
}

// TestFaultFileIsReadAgain: an order reaches a daemon that runs.
func TestFaultFileIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fault")
	t.Setenv(faultOrder, "")
	t.Setenv(faultFile, path)
	s := &services{provider: &point.Provider{Injector: taking{}}}
	if err := injectFaults(s, sockets{}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	inject := func() error { return s.provider.Injector.Inject(context.Background(), "", "", nil) }
	if err := inject(); err != nil {
		t.Errorf("without an order: %v", err)
	}
	if err := os.WriteFile(path, []byte("inject.after:1:err"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := inject(); !errors.Is(err, fault.ErrInjected) {
		t.Errorf("with an order: %v, want the fault", err)
	}
}

// taking takes every notice.
type taking struct{}

func (taking) Inject(context.Context, string, string, io.WriterTo) error { return nil }
