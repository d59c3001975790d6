package main

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// explain runs the command and gives its lines.
func explain(t *testing.T, wantCode int, config string, args ...string) []string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(append([]string{"explain", "--config", config}, args...), &stdout, &stderr)
	if code != wantCode {
		t.Fatalf("explain %v: exit code %d, want %d: %s", args, code, wantCode, &stderr)
	}
	return slices.Collect(strings.Lines(stdout.String() + stderr.String()))
}

// TestExplain: one story, found by each of its names, told in order; that somebody
// looked is in the log.
func TestExplain(t *testing.T) {
	config := evidenceSite(t)
	want := []string{
		"The access point took the message " + evidenceID + " of mario@pec.alfa.example for anna@pec.alfa.example (certificato) (subject \"Perch",
		"The notice accettazione is made, signed, and about to be sent to mario@pec.alfa.example.",
		"The notice accettazione for mario@pec.alfa.example is in the MTA's queue, with Message-ID notice0@pec.alfa.example.",
		"The notice presa-in-carico about anna@pec.alfa.example is made",
		"The notice presa-in-carico about anna@pec.alfa.example for",
		"The notice avvenuta-consegna about anna@pec.alfa.example is made",
		"The notice avvenuta-consegna about anna@pec.alfa.example for",
	}
	for _, name := range []string{evidenceID, "<" + evidenceID + ">", "<user1@client.example>", "notice2@pec.alfa.example"} {
		lines := explain(t, 0, config, name)
		if len(lines) != len(want) {
			t.Fatalf("explain %s: %d lines, want %d:\n%s", name, len(lines), len(want), strings.Join(lines, ""))
		}
		for n, line := range lines {
			if !strings.Contains(line, "  "+want[n]) {
				t.Errorf("explain %s, line %d: %q, want %q in it", name, n+1, line, want[n])
			}
		}
	}
	for n, line := range explain(t, 0, config, "--json", evidenceID) {
		var e explained
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.ID != evidenceID || !strings.HasPrefix(e.Text, want[n]) {
			t.Errorf("explain --json, line %d: %q (%v), want an object with the text %q", n+1, line, err, want[n])
		}
	}
	explain(t, 0, config, evidenceID, "--reason", "ticket 9")
	if lines := explain(t, 1, config, "nobody@x.example"); len(lines) != 1 || !strings.Contains(lines[0], "nobody@x.example") {
		t.Errorf("explain of what is not there: %q, want one line that names it", lines)
	}
	var searched bytes.Buffer
	if code := run([]string{"log", "search", "--config", config, "--kind", "searched"}, &searched, &searched); code != 0 ||
		strings.Count(searched.String(), ": explain ") != 7 || !strings.Contains(searched.String(), "reason: ticket 9") {
		t.Errorf("the log has of the searches (exit code %d):\n%s", code, &searched)
	}
}

// TestExplainQueueID: a queue id that two messages had, one after the other, gives
// both; IN-11, what a message says stays on its line.
func TestExplainQueueID(t *testing.T) {
	config := evidenceSite(t)
	log, _ := openLog(t, filepath.Join(filepath.Dir(config), "pec.db"))
	e := point.Event{
		Time: time.Now(), Kind: point.EventRefused, Door: point.IncomingDoor, QueueID: "4fXyZ1", Sender: "a\r\n\x1b[31m@x.example",
		Recipients: []pec.Recipient{{Address: "anna@pec.alfa.example", Kind: pec.Certified}}, Detail: "not wanted",
	}
	other := e
	other.Time, other.Kind, other.Detail = e.Time.Add(time.Minute), point.EventAnomaly, "no signature"
	if err := log.Append(context.Background(), e, other); err != nil {
		t.Fatal(err)
	}
	lines := explain(t, 0, config, "4fXyZ1")
	if len(lines) != 3 || !strings.Contains(lines[0], "4fXyZ1") || !strings.Contains(lines[0], "with a 5xx: not wanted.") ||
		lines[1] != "\n" || !strings.Contains(lines[2], "anomaly envelope: no signature.") || strings.ContainsAny(strings.Join(lines, ""), "\r\x1b") {
		t.Errorf("explain 4fXyZ1: %q, want two messages", lines)
	}
}

// TestSentences: every kind of event has its sentence.
func TestSentences(t *testing.T) {
	e := point.Event{
		Door: point.AccessDoor, ID: "id@x", Notice: pec.Delivery, NoticeTo: "a@x.example", NoticeID: "n@x", Sender: "a@x.example",
		Delivered: "b@x.example", Provider: "Beta", Detail: "why", Virus: "Eicar", Recipients: []pec.Recipient{{Address: "b@x.example", Kind: pec.Ordinary}},
	}
	seen := map[string]bool{}
	for _, kind := range rowKinds[:13] {
		e.Kind = point.EventKind(kind)
		text := sentence(&e)
		if text == kind || !strings.HasSuffix(text, ".") || seen[text] {
			t.Errorf("%s: %q is no sentence of its own", kind, text)
		}
		seen[text] = true
	}
	e.Kind = point.EventUndelivered
	if got, want := sentence(&e), "The notice avvenuta-consegna is not delivered to b@x.example, for good: why."; got != want {
		t.Errorf("sentence = %q, want %q", got, want)
	}
	e.Kind = point.EventRefused
	if got := sentence(&e); !strings.Contains(got, "gets non-accettazione: why. The antivirus found Eicar") {
		t.Errorf("sentence = %q, want the reason and the virus", got)
	}
}
