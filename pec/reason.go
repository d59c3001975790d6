package pec

import (
	_ "embed" // the texts
	"fmt"
	"strings"
)

// Reason is why something is refused, anomalous or not delivered, in Italian as
// errore-esteso and the readable texts say it: the line of texts/motivi.tsv with
// that name, filled in with what is given. A name that has no line is an error of
// the program, and comes back as it is.
func Reason(name string, filled ...any) string {
	text, found := reasons[name]
	if !found {
		return name
	}
	return fmt.Sprintf(text, filled...)
}

//go:embed texts/motivi.tsv
var reasonFile string

// reasons are the texts of reasonFile by their names.
var reasons = func() map[string]string {
	texts := map[string]string{}
	for line := range strings.Lines(reasonFile) {
		if columns := strings.Split(strings.TrimSuffix(line, "\n"), "\t"); len(columns) == 3 {
			texts[columns[0]] = columns[2]
		}
	}
	return texts
}()
