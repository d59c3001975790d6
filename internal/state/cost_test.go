package state

import (
	"crypto/sha256"
	"encoding/binary"
	"path/filepath"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

// BenchmarkMessage is what one notice asks of the state.
func BenchmarkMessage(b *testing.B) {
	db := openDatabase(b, filepath.Join(b.TempDir(), "state.db"))
	db.SetMaxOpenConns(1)
	s := mustOpen(b, db, "a", time.Now)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		key := point.Key(sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n))))
		release, ok, err := s.Lease(b.Context(), key, time.Minute)
		if err != nil || !ok {
			b.Fatalf("Lease() = %v, %v", ok, err)
		}
		release()
	}
}
