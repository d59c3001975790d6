package pec

import "testing"

func TestHasEightBits(t *testing.T) {
	for length := range 20 {
		data := make([]byte, length)
		for i := range data {
			data[i] = 127
		}
		if hasEightBits(data) {
			t.Errorf("%d bytes of 127: got true", length)
		}
		for i := range data {
			data[i] = 128
			if !hasEightBits(data) {
				t.Errorf("128 at %d of %d bytes: got false", i, length)
			}
			data[i] = 127
		}
	}
}
