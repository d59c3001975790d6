package directory

import (
	"errors"
	"fmt"
	"time"
)

// ErrTooOld means that the providers directory is older than Config.MaxAge allows:
// nobody can tell whose domains are certified. It passes by itself.
var ErrTooOld = errors.New("the providers directory is too old")

// Written is when the directory in use was written: fetched, by whoever fetches it.
// A new version that was refused does not count.
func (s *Source) Written() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refresh()
	return s.written
}

func (s *Source) checkAge() error {
	if s.config.MaxAge == 0 {
		return nil
	}
	if age := s.config.Clock().Sub(s.written); age > s.config.MaxAge {
		return fmt.Errorf("%w: of %s, which is %v ago", ErrTooOld, s.written.UTC().Format(time.RFC3339), age.Round(time.Minute))
	}
	return nil
}
