package config

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

//go:generate go test -count=1 -run TestPage$ . -update

var update = flag.Bool("update", false, "write the keys of pec-milter.toml(5) anew")

const (
	page = "../../docs/man/pec-milter.toml.5.md"
	// What is written between these lines is generated.
	keysBegin = "# KEYS\n\nThose without a table stand before the first table.\n\n"
	keysEnd   = "# ACCOUNTS FILE\n"
)

// TestPage: the keys of the man page are what the comments and defaults here say.
// go generate writes them.
func TestPage(t *testing.T) {
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(content), keysBegin)
	_, after, ended := strings.Cut(rest, keysEnd)
	if !found || !ended {
		t.Fatalf("%s: no %q or %q", page, keysBegin, keysEnd)
	}
	t.Setenv("TMPDIR", "")
	want := before + keysBegin + newDescription(t).page() + keysEnd + after
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(content) {
		t.Errorf("%s differs from the comments of internal/config: run go generate ./internal/config, and read what it changes", page)
	}
}

// typeWords are how the text of a key begins, by its type in Go. Text, paths and
// names are all strings.
var typeWords = map[reflect.Type][]string{
	reflect.TypeFor[bool]():          {"`true` or `false`"},
	reflect.TypeFor[int]():           {"Whole number"},
	reflect.TypeFor[int64]():         {"Whole number"},
	reflect.TypeFor[*int]():          {"Whole number"},
	reflect.TypeFor[Socket]():        {"Socket"},
	reflect.TypeFor[[]Socket]():      {"List of sockets"},
	reflect.TypeFor[[]string]():      {"List of "},
	reflect.TypeFor[Duration]():      {"Duration"},
	reflect.TypeFor[Span]():          {"Duration"},
	reflect.TypeFor[Day]():           {"Day"},
	reflect.TypeFor[Hex]():           {"Pairs of hexadecimal digits"},
	reflect.TypeFor[OID]():           {"Object identifier"},
	reflect.TypeFor[Level]():         {"`\""},
	reflect.TypeFor[[]SignerToken](): {"A table"},
	reflect.TypeFor[string](): {
		"Text", "Path", "Private file", "Domain", "Address in ", "Host and port", "Name or number of a group", "URL", "`\"",
	},
}

// TestDescriptions: each table and key has a text, which begins with the key's type
// and leaves the default to the code.
func TestDescriptions(t *testing.T) {
	d := newDescription(t)
	keys := 0
	d.walk(func(_ reflect.StructField, text string) {
		if text == "" {
			t.Error("a table without a text")
		}
	}, func(owner reflect.Type, field reflect.StructField, text string, _ any) {
		keys++
		words, known := typeWords[field.Type]
		begins := false
		for _, word := range words {
			begins = begins || strings.HasPrefix(text, word)
		}
		if !known || !begins {
			t.Errorf("%s.%s: the text begins %.40q, want its type, %v, one of %q", owner.Name(), field.Name, text, field.Type, words)
		}
		if strings.Contains(text, "Default:") {
			t.Errorf("%s.%s: the text has a default, which is taken from the code", owner.Name(), field.Name)
		}
	})
	if keys < 80 {
		t.Errorf("%d keys, want all", keys)
	}
}

func TestShownDefault(t *testing.T) {
	for _, c := range []struct {
		value any
		text  string
		want  string
	}{
		{500, "Whole number.", "500"},
		{int64(0), "Whole number.", "0"},
		{false, "`true` or `false`.", "false"},
		{"text", "Text.", `"text"`},
		{"", "Text.", ""},
		{"", "Text. Empty: the name of the host.", `""`},
		{Day{}, "Day. Empty: never.", `""`},
		{Duration{}, "Duration.", ""},
		{Duration{Duration: 5 * time.Minute}, "Duration.", `"300s"`},
		{Duration{Duration: 26 * time.Hour}, "Duration.", `"26h"`},
		{Span{}, "Duration.", `"0s"`},
		{Level{}, "Level.", `"info"`},
		{Socket{}, "Socket.", ""},
		{(*int)(nil), "Whole number.", ""},
	} {
		if got := shownDefault(c.value, c.text); got != c.want {
			t.Errorf("shownDefault(%#v, %q) = %s, want %s", c.value, c.text, got, c.want)
		}
	}
}

// description has the comments of the types of this package, by "Type" and
// "Type.Field", without the name that each begins with.
type description map[string]string

func newDescription(t *testing.T) description {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	d := description{}
	for _, file := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range tree.Decls {
			if types, ok := decl.(*ast.GenDecl); ok && types.Tok == token.TYPE {
				d.add(types)
			}
		}
	}
	return d
}

func (d description) add(types *ast.GenDecl) {
	spec := types.Specs[0].(*ast.TypeSpec)
	name := spec.Name.Name
	d[name] = sentence(strings.TrimPrefix(types.Doc.Text(), name+" is "))
	if body, ok := spec.Type.(*ast.StructType); ok {
		for _, field := range body.Fields.List {
			for _, ident := range field.Names {
				if text, found := strings.CutPrefix(field.Doc.Text(), ident.Name+": "); found {
					d[name+"."+ident.Name] = sentence(text)
				}
			}
		}
	}
}

// sentence begins with a capital letter.
func sentence(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	return strings.TrimSpace(string(unicode.ToUpper(first)) + text[size:])
}

// walk goes through the configuration in the order of its fields.
func (d description) walk(table func(reflect.StructField, string), key func(reflect.Type, reflect.StructField, string, any)) {
	all := reflect.ValueOf(*defaults())
	for i := range all.NumField() {
		field := all.Type().Field(i)
		if all.Field(i).Kind() != reflect.Struct {
			key(all.Type(), field, d["Config."+field.Name], all.Field(i).Interface())
			continue
		}
		table(field, d[field.Type.Name()])
		d.walkTable(all.Field(i), key)
	}
}

func (d description) walkTable(table reflect.Value, key func(reflect.Type, reflect.StructField, string, any)) {
	for i := range table.NumField() {
		field := table.Type().Field(i)
		if field.Anonymous {
			d.walkTable(table.Field(i), key)
			continue
		}
		key(table.Type(), field, d[table.Type().Name()+"."+field.Name], table.Field(i).Interface())
	}
}

// page is the text between keysBegin and keysEnd.
func (d description) page() string {
	var b strings.Builder
	section := ""
	d.walk(func(field reflect.StructField, text string) {
		section = field.Tag.Get("toml")
		fmt.Fprintf(&b, "## [%s]\n\n%s\n\n", section, text)
	}, func(_ reflect.Type, field reflect.StructField, text string, value any) {
		name := field.Tag.Get("toml")
		if field.Type == reflect.TypeFor[[]SignerToken]() {
			name = "[[" + section + "." + name + "]]"
		}
		if shown := shownDefault(value, text); shown != "" {
			text += "\nDefault: `" + shown + "`."
		}
		text = strings.ReplaceAll(text, "\n", "\n    ")
		fmt.Fprintf(&b, "**%s**\n:   %s\n\n", name, strings.ReplaceAll(text, "\n    \n", "\n\n"))
	})
	return b.String()
}

// shownDefault is a value as it is written in the file; "" for a key that must be
// given or whose absence has a meaning of its own. The text says what empty means
// where that may be written.
func shownDefault(value any, text string) string {
	quoted := ""
	switch v := value.(type) {
	case bool, int, int64:
		return fmt.Sprint(v)
	case string:
		quoted = v
	case Level:
		quoted = strings.ToLower(v.String())
	case Span:
		quoted = shownDuration(v.Duration)
	case Duration:
		if v.Duration > 0 {
			quoted = shownDuration(v.Duration)
		}
	}
	if quoted == "" && !strings.Contains(text, "Empty: ") {
		return ""
	}
	return `"` + quoted + `"`
}

func shownDuration(d time.Duration) string {
	if d >= time.Hour && d%time.Hour == 0 {
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}
