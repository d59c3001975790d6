package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Load reads and checks a configuration file. Its error names the file and
// joins all faults, one a line; those of the notation come with line and
// column. Only what is no TOML, or a value of another type than its key's, is
// reported alone.
func Load(path string) (*Config, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("configuration file %s: %w", path, err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading configuration: %w", err)
	}
	config := defaults()
	found := &faults{file: path}
	if !decode(content, config, found) {
		return nil, found.all()
	}
	config.resolve(filepath.Dir(absolute))
	config.validate(found)
	if err := found.all(); err != nil {
		return nil, err
	}
	return config, nil
}

// decode tells whether the file could be read to its end.
func decode(content []byte, config *Config, found *faults) bool {
	err := toml.NewDecoder(bytes.NewReader(content)).DisallowUnknownFields().Decode(config)
	var strict *toml.StrictMissingError
	var fault *toml.DecodeError
	switch {
	case err == nil:
		return true
	case errors.As(err, &strict):
		for i := range strict.Errors {
			found.at(&strict.Errors[i], "unknown key "+strings.Join(strict.Errors[i].Key(), ".")+
				": correct its name or its table, or remove it")
		}
		return true
	case errors.As(err, &fault):
		text := strings.TrimPrefix(fault.Error(), "toml: ")
		if key := fault.Key(); len(key) > 0 {
			text = strings.Join(key, ".") + ": " + text
		}
		found.at(fault, text)
	default:
		found.list = append(found.list, fmt.Errorf("%s: %w", found.file, err))
	}
	return false
}

// resolve makes all paths absolute.
func (c *Config) resolve(directory string) {
	for _, r := range c.references() {
		if *r.path != "" && !filepath.IsAbs(*r.path) {
			*r.path = filepath.Join(directory, *r.path)
		}
	}
	c.LegalLog.resolve(c.State.File)
}

// faults collects what is wrong with a file.
type faults struct {
	file string
	list []error
}

// at adds a fault that has a place in the file.
func (f *faults) at(where *toml.DecodeError, text string) {
	line, column := where.Position()
	f.list = append(f.list, fmt.Errorf("%s:%d:%d: %s", f.file, line, column, text))
}

// add adds a fault of a key.
func (f *faults) add(key, format string, values ...any) {
	f.list = append(f.list, fmt.Errorf("%s: %s: %s", f.file, key, fmt.Sprintf(format, values...)))
}

// all joins the faults; nil if there are none.
func (f *faults) all() error { return errors.Join(f.list...) }
