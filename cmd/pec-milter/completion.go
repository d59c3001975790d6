package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCommand struct{}

// Run prints a script for bash, in which the words of this very command line stand:
// the package puts it where bash-completion looks.
func (completionCommand) Run(o out, parsed *kong.Context) error {
	var cases strings.Builder
	writeCases(&cases, parsed.Model.Node, "")
	_, err := fmt.Fprintf(o, completionScript, strings.TrimSuffix(cases.String(), "\n"))
	return err
}

// completionScript: after the words of a command come those of the next one, and the
// options; where nothing fits, files.
const completionScript = `# bash completion of pec-milter; made by "pec-milter completion"
_pec_milter() {
	local word words command=
	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}" ''; do
		case $command in
%s
		esac
		case " $words " in
		*" $word "*) [[ $word == -* ]] || command="$command $word" ;;
		esac
	done
	COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _pec_milter pec-milter
`

// writeCases writes what may follow each command: its own commands and its options.
func writeCases(w io.Writer, node *kong.Node, path string) {
	var words []string
	for _, child := range node.Children {
		if !child.Hidden {
			words = append(words, child.Name)
		}
	}
	for _, flag := range node.Flags {
		if !flag.Hidden {
			words = append(words, "--"+flag.Name)
		}
	}
	fmt.Fprintf(w, "\t\t'%s') words='%s' ;;\n", path, strings.Join(words, " "))
	for _, child := range node.Children {
		writeCases(w, child, path+" "+child.Name)
	}
}
