//go:build integration

package integration

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pec-milter/pec-milter/pec"
)

func (s *stage) await(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	n, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	about := ""
	if len(args) > 3 {
		about = args[3]
	}
	return s.awaitMessages(args[0], pec.Kind(args[1]), n, about)
}

func (s *stage) reach(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	n, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	_, err = s.awaitWhole(args[0], n, func(h pec.Header) bool { return KindOf(h) == pec.Kind(args[1]) })
	return err
}

// awaitMessages waits until a mailbox has n messages of a kind, no two by the
// same provider about the same submission. When all queues are empty, there must
// be no more.
func (s *stage) awaitMessages(address string, kind pec.Kind, n int, about string) error {
	box, err := s.world.SiteOf(address).OpenMailbox(address)
	if err != nil {
		return err
	}
	defer box.Close()
	counts := make(map[string]int)
	look := func() error {
		messages, err := box.New(false)
		for _, m := range messages {
			if KindOf(m.Header) == kind && strings.Contains(referenceOf(m.Header), about) {
				counts[referenceOf(m.Header)+" by "+m.Header.Get("From")]++
			}
		}
		if err == nil && len(counts) < n {
			err = fmt.Errorf("%d of %d, about %v", len(counts), n, slices.Sorted(maps.Keys(counts)))
		}
		return err
	}
	if err := waitFor(fmt.Sprintf("%s in the mailbox of %s", kind, address), patience, look); err != nil {
		return err
	}
	if err := s.world.Settle(); err != nil {
		return err
	}
	if err := look(); err != nil {
		return err
	}
	return onceEach(counts, n, fmt.Sprintf("%s in the mailbox of %s", kind, address))
}

func onceEach(counts map[string]int, n int, what string) error {
	if len(counts) != n {
		return fmt.Errorf("%s: %d different ones, want %d: about %v", what, len(counts), n, slices.Sorted(maps.Keys(counts)))
	}
	for about, times := range counts {
		if times != 1 {
			return fmt.Errorf("%s: %d times about %s, want once", what, times, about)
		}
	}
	return nil
}

// referenceOf is the Message-ID of the submission that a message is about.
func referenceOf(h pec.Header) string {
	if reference := h.Get(pec.HeaderReference); reference != "" {
		return reference
	}
	return h.Get("Message-ID")
}

func (s *stage) show(out *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	kind, about := pec.Kind(args[1]), ""
	if len(args) > 2 {
		about = args[2]
	}
	messages, err := s.awaitWhole(args[0], 1, func(h pec.Header) bool {
		return KindOf(h) == kind && strings.Contains(referenceOf(h), about)
	})
	if err != nil {
		return err
	}
	c, err := CutCertified(messages[0].Raw)
	if err != nil {
		return err
	}
	out.Write(c.Daticert)
	return nil
}

// awaitWhole waits for n messages of a mailbox that are wanted, and reads them.
func (s *stage) awaitWhole(address string, n int, wanted func(pec.Header) bool) ([]Received, error) {
	box, err := s.world.SiteOf(address).OpenMailbox(address)
	if err != nil {
		return nil, err
	}
	defer box.Close()
	var all []Received
	err = waitFor(fmt.Sprintf("%d messages for %s", n, address), patience, func() error {
		messages, err := box.New(true)
		for _, m := range messages {
			if wanted(m.Header) {
				all = append(all, m)
			}
		}
		if err == nil && len(all) < n {
			err = fmt.Errorf("%d so far", len(all))
		}
		return err
	})
	return all, err
}
