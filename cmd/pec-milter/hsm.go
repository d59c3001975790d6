package main

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"

	"github.com/pec-milter/pec-milter/internal/doctor"
)

// hsmCommands are the commands on the signing key.
type hsmCommands struct {
	Test  hsmTestCommand  `cmd:"" help:"Sign with the key, and verify the signature."`
	List  hsmListCommand  `cmd:"" help:"List slots, tokens, keys and certificates, and say which key signs."`
	Bench hsmBenchCommand `cmd:"" help:"Measure the signatures per second."`
}

type hsmTestCommand struct {
	Config string `required:"" type:"path" placeholder:"FILE" help:"The configuration."`
}

// Run opens the key as the daemon does, with its one try of the PIN, and signs.
// A module that cannot be loaded is told with the library that it misses.
func (h *hsmTestCommand) Run(o out) error {
	c, err := loadConfig(h.Config)
	if err != nil {
		return err
	}
	s := newServices(c, clock(), slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err := s.openSigner(c); err != nil {
		return err
	}
	defer s.close()
	s.signer.Probe() // tells of the spares that do not sign
	key, chain, err := s.provider.Signer.Current()
	if err != nil {
		return err
	}
	if err := doctor.CheckKey(key, chain[0], rand.Reader); err != nil {
		return &exit{1, err}
	}
	_, err = fmt.Fprintf(o, "%s: good: the key signs, and the signature verifies\n", chain[0].Subject)
	return err
}
