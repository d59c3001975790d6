package smtpclient

import (
	"errors"
	"slices"
	"testing"
)

func TestProbe(t *testing.T) {
	server, seen := play(t, true, "220 store", "<LHLO", "250 store", "<MAIL", "250 OK", "<RCPT", "250 OK", "<RCPT", "250 OK", "<QUIT", "221 bye")
	if err := server.Probe(t.Context(), "a@alfa.example", "b@alfa.example", "c@alfa.example"); err != nil {
		t.Fatal(err)
	}
	if got := seen(); got.wrong != "" || slices.Contains(got.commands, "DATA") {
		t.Errorf("the server saw %q, %q unexpected: want no message", got.commands, got.wrong)
	}
}

func TestProbeGreetsAlone(t *testing.T) {
	server, seen := play(t, false, "220 mta", "<EHLO", "250 mta", "<QUIT", "221 bye")
	if err := server.Probe(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if got := seen(); got.wrong != "" {
		t.Errorf("the server saw %q", got.wrong)
	}
}

func TestProbeTellsTheStage(t *testing.T) {
	cases := []struct {
		steps []string
		stage Stage
	}{
		{[]string{"421 too busy"}, StageHello},
		{[]string{"220 mta", "<EHLO", "250 mta", "<MAIL", "550 no"}, StageMail},
		{[]string{"220 mta", "<EHLO", "250 mta", "<MAIL", "250 OK", "<RCPT", "550 no"}, StageRecipient},
	}
	for _, c := range cases {
		t.Run(string(c.stage), func(t *testing.T) {
			server, _ := play(t, false, c.steps...)
			failed := (*Error)(nil)
			if err := server.Probe(t.Context(), "a@alfa.example", "b@alfa.example"); !errors.As(err, &failed) || failed.Stage != c.stage {
				t.Errorf("Probe() = %v, want an error at %s", err, c.stage)
			}
		})
	}
}
