package integration

import (
	"errors"
	"fmt"
	"time"
)

// patience is how long a story waits for what must come. A pec-milter that was
// killed just before its accept answers 451 to the repeat for a minute.
const patience = 3 * time.Minute

// Settle waits until no queue has anything left to deliver: a message on its way
// from one site to another is seen at the second look. Now and then it flushes:
// what Postfix has put off for a minute would outlast our patience.
func (w *World) Settle() error {
	looks, waits := 0, 0
	err := waitFor("empty queues", patience, func() error {
		for _, site := range w.sites() {
			waiting, err := site.Waiting()
			if err == nil && len(waiting) > 0 {
				err = fmt.Errorf("queue of %s: %d files", site.Name, len(waiting))
				if waits++; waits%100 == 0 {
					err = errors.Join(err, site.Flush())
				}
			}
			if err != nil {
				looks = 0
				return err
			}
		}
		if looks++; looks < 2 {
			return errors.New("look again")
		}
		return nil
	})
	if err == nil {
		return nil
	}
	for _, site := range w.sites() {
		queue, _ := site.Queue()
		err = errors.Join(err, fmt.Errorf("queue of %s: %s", site.Name, queue))
	}
	return err
}
