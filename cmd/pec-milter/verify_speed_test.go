package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What a message of 100 MB may cost.
const (
	largeMessage = 100_000_000 // bytes
	maxMemory    = 40_000      // peak resident set, in KiB
	maxRatio     = 1.5         // of the time that openssl cms -verify takes
	pairs        = 3           // runs of both, one after the other
	attempts     = 3           // at all that: the machine may be busy
)

// TestVerifyLarge: an envelope of 100 MB takes a bounded memory and at most 1.5
// times as long as with openssl, which is asked on the same file at the same time.
// Runs are paired and their medians compared; a busy machine gets another try.
func TestVerifyLarge(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("the cost of a large message is not measured with the race detector or -short")
	}
	s := newVerifySite(t)
	path := s.largeEnvelope(t)
	ours := append([]string{copyOfProgram(t)}, append(s.given(), path)...)
	theirs := []string{"openssl", "cms", "-verify", "-CAfile", s.path("roots/ca.pem"), "-purpose", "any", "-in", path, "-out", os.DevNull}
	var ratio float64
	var peak int64
	for range attempts {
		var us, them []time.Duration
		for range pairs {
			took, memory := cost(t, ours...)
			peak = max(peak, memory)
			if memory > maxMemory {
				t.Errorf("peak memory is %d KiB, want at most %d", memory, maxMemory)
			}
			us = append(us, took)
			took, _ = cost(t, theirs...)
			them = append(them, took)
		}
		ratio = float64(median(us)) / float64(median(them))
		t.Logf("ours %v, openssl %v: ratio %.2f; peak memory %d KiB", us, them, ratio, peak)
		if ratio <= maxRatio {
			return
		}
	}
	t.Errorf("takes %.2f times as long as openssl, want at most %.1f", ratio, maxRatio)
}

// copyOfProgram is a copy of this binary, which is pec-milter by its name. What the
// linker has just written lies in memory in large pieces, which Linux counts whole
// for a process that uses a byte of each: 16 MB that are not there the next day.
func copyOfProgram(t *testing.T) string {
	t.Helper()
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	path := filepath.Join(t.TempDir(), "pec-milter")
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(to, from)
	if err = errors.Join(err, to.Sync()); err != nil {
		t.Fatal(err)
	}
	const dontNeed = 4 // POSIX_FADV_DONTNEED: the pages are read again, as they are used
	if _, _, e := syscall.Syscall6(syscall.SYS_FADVISE64, to.Fd(), 0, 0, dontNeed, 0, 0); e != 0 {
		t.Fatal(e)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// cost runs a program that must succeed, and gives its time and its peak resident
// set in KiB. It runs below measure: Linux counts for a process what its parent
// had in memory when it was started, and the tests have much.
func cost(t *testing.T, args ...string) (time.Duration, int64) {
	t.Helper()
	var complaint bytes.Buffer
	command := exec.Command("measure", args...)
	command.Stderr = &complaint
	start := time.Now()
	out, err := command.Output()
	took := time.Since(start)
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, &complaint)
	}
	memory, err := strconv.ParseInt(string(out), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return took, memory
}

// measure is a program of the tests: it runs another one, and prints the peak
// resident set of that.
func measure() {
	command := exec.Command(os.Args[1], os.Args[2:]...)
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	err := command.Run()
	var used syscall.Rusage
	if err = errors.Join(err, syscall.Getrusage(syscall.RUSAGE_CHILDREN, &used)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(used.Maxrss)
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// largeEnvelope writes a genuine envelope whose original is large.
func (s *verifySite) largeEnvelope(t *testing.T) string {
	t.Helper()
	header, content := golden(t, "01-posta-certificata")
	end := strings.LastIndex(content, "\r\n--") // of the original
	s.file(t, "content", content[:end]+"\r\n", largeLines, content[end:])
	signed := openssl(t, nil, "cms", "-sign", "-binary", "-in", s.path("content"), "-signer", s.path("signer.pem"), "-inkey", s.path("signer.key"), "-outform", "DER")
	return s.file(t, "large.eml", header+"MIME-Version: 1.0\r\nContent-Type: multipart/signed; protocol=\"application/pkcs7-signature\";"+
		" micalg=sha-256; boundary=outer_\r\n\r\n--outer_\r\n", func(w io.Writer) error { return copyFile(w, s.path("content")) },
		"\r\n--outer_\r\nContent-Type: application/pkcs7-signature; name=smime.p7s\r\nContent-Transfer-Encoding: base64\r\n\r\n"+
			lines(signed)+"\r\n--outer_--\r\n")
}

// file writes a file of pieces, each one text or what writes it.
func (s *verifySite) file(t *testing.T, name string, pieces ...any) string {
	t.Helper()
	f, err := os.Create(s.path(name))
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	for _, piece := range pieces {
		switch p := piece.(type) {
		case string:
			_, err = w.WriteString(p)
		case func(io.Writer) error:
			err = p(w)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return s.path(name)
}

// largeLines are lines of base64.
func largeLines(w io.Writer) error {
	line, source := make([]byte, 57), rand.New(rand.NewPCG(1, 2))
	for n := 0; n < largeMessage; {
		for i := range line {
			line[i] = byte(source.Uint32())
		}
		written, err := io.WriteString(w, lines(line))
		if err != nil {
			return err
		}
		n += written
	}
	return nil
}

// lines is base64 in lines that mail may have.
func lines(data []byte) string {
	var b strings.Builder
	for line := range slices.Chunk(data, 57) {
		b.WriteString(base64.StdEncoding.EncodeToString(line) + "\r\n")
	}
	return b.String()
}

func copyFile(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}
