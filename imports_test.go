// Package pecmilter_test keeps the imports of the whole tree a star. It parses
// the sources: a test that asks the go tool would be answered from the cache.
package pecmilter_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"os"
)

const module = "github.com/pec-milter/pec-milter/"

// mayImport says which packages of ours each package may import. A package that
// is not here may not exist.
var mayImport = map[string][]string{
	"pec":                       {},
	"internal/point":            {"pec"},
	"internal/spool":            {},
	"internal/overload":         {},
	"internal/smtpclient":       {"internal/point"},
	"internal/testevidence":     {},
	"internal/testpki":          {},
	"internal/testpostgres":     {},
	"internal/testslapd":        {},
	"internal/testtsa":          {"internal/testpki"},
	"internal/account":          {"pec", "internal/point"},
	"internal/antivirus":        {"internal/point"},
	"internal/clock":            {},
	"internal/config":           {},
	"internal/daemonlog":        {},
	"internal/directory":        {"pec", "internal/point"},
	"internal/doctor":           {"pec", "internal/point"},
	"internal/effect":           {"pec", "internal/point"},
	"internal/fault":            {"internal/effect"},
	"internal/evidence":         {},
	"internal/explore":          {"pec", "internal/point", "internal/effect", "internal/testpki"},
	"internal/inject":           {"pec", "internal/point", "internal/smtpclient"},
	"internal/metrics":          {"internal/point", "internal/effect"},
	"internal/legallog":         {"pec", "internal/point"},
	"internal/lifetime":         {"pec", "internal/point", "internal/overload"},
	"internal/quarantine":       {"pec", "internal/point"},
	"internal/state":            {"pec", "internal/point"},
	"internal/tsa":              {},
	"hsm":                       {"pec", "internal/point"},
	"milter":                    {"pec", "internal/point", "internal/overload", "internal/spool"},
	"lmtpdeliver":               {"pec", "internal/point", "internal/overload", "internal/spool", "internal/smtpclient"},
	"cmd/pec-milter":            {"*"},
	"internal/integration":      {"*"},
	"internal/integration/demo": {"*"},

	"internal/integration/bench": {"*"},
}

// shared are the libraries that more than one package may import.
var shared = []string{"github.com/digitorus/timestamp", "github.com/emersion/go-smtp", "github.com/prometheus/client_golang"}

// onlyIn are the imports that belong to certain packages: the drivers of the
// databases are chosen, and the clock and random numbers are read,
// where the doors are and where all is wired.
var onlyIn = map[string][]string{
	"modernc.org/sqlite":             {"cmd/pec-milter"},
	"github.com/jackc/pgx/v5/stdlib": {"cmd/pec-milter"},
	"crypto/rand":                    {"cmd/pec-milter", "milter", "lmtpdeliver", "internal/integration", "internal/integration/demo", "internal/integration/bench"},
}

// source is what a package's files, tests left out, import.
type source struct {
	imports map[string]bool
	clock   []string // files that call time.Now
}

func TestImportPolicy(t *testing.T) {
	packages := parseTree(t)
	if len(packages) < 10 {
		t.Fatalf("found %d packages, want the whole tree", len(packages))
	}
	for name, s := range packages {
		allowed, known := mayImport[name]
		if !known {
			t.Errorf("package %s is not in the policy", name)
		}
		for imported := range s.imports {
			checkImport(t, name, imported, allowed)
		}
		if len(s.clock) > 0 && !slices.Contains(onlyIn["crypto/rand"], name) {
			t.Errorf("package %s reads the clock (%s): time is handed to it", name, strings.Join(s.clock, ", "))
		}
	}
	checkOnePlace(t, packages)
}

func checkImport(t *testing.T, name, imported string, allowed []string) {
	t.Helper()
	ours, isOurs := strings.CutPrefix(imported, module)
	if isOurs && !slices.Contains(allowed, "*") && !slices.Contains(allowed, ours) {
		t.Errorf("package %s imports %s: it may import %v", name, ours, allowed)
	}
	if places := onlyIn[imported]; places != nil && !slices.Contains(places, name) {
		t.Errorf("package %s imports %s: only %v may", name, imported, places)
	}
}

// checkOnePlace: each third-party library is imported by one package.
func checkOnePlace(t *testing.T, packages map[string]*source) {
	t.Helper()
	users := map[string][]string{}
	for name, s := range packages {
		if strings.HasPrefix(name, "internal/integration") {
			continue
		}
		for imported := range s.imports {
			if library := libraryOf(imported); library != "" && !slices.Contains(users[library], name) {
				users[library] = append(users[library], name)
			}
		}
	}
	for library, names := range users {
		if len(names) > 1 && !slices.Contains(shared, library) {
			t.Errorf("%s is imported by %v: one package only", library, names)
		}
	}
}

// libraryOf is the module of a third-party import; empty for the standard
// library and for ours.
func libraryOf(imported string) string {
	host, _, _ := strings.Cut(imported, "/")
	if !strings.Contains(host, ".") || strings.HasPrefix(imported, module) {
		return ""
	}
	parts := strings.SplitN(imported, "/", 4)
	return strings.Join(parts[:min(3, len(parts))], "/")
}

func parseTree(t *testing.T) map[string]*source {
	t.Helper()
	packages := map[string]*source{}
	err := fs.WalkDir(os.DirFS("."), ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "testdata" || entry.Name() == "build" || strings.HasPrefix(entry.Name(), ".") && file != ".") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		name := path.Dir(file)
		if packages[name] == nil {
			packages[name] = &source{imports: map[string]bool{}}
		}
		return packages[name].add(file)
	})
	if err != nil {
		t.Fatal(err)
	}
	return packages
}

func (s *source) add(file string) error {
	tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	for _, i := range tree.Imports {
		imported, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return err
		}
		s.imports[imported] = true
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Now" {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" {
				s.clock = append(s.clock, file)
			}
		}
		return true
	})
	return nil
}
