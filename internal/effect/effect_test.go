package effect_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"io"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/effect"
	"github.com/pec-milter/pec-milter/internal/point"
)

// witness answers every effect with an error and does none of them.
type witness struct{ seen []effect.Effect }

var errWitness = errors.New("witness")

func (w *witness) Around(_ context.Context, e effect.Effect, _ func() (any, error)) (any, error) {
	w.seen = append(w.seen, e)
	return nil, errWitness
}

// notEffects are the interfaces of a Provider, and methods, that cannot fail: they
// answer from memory.
var notEffects = map[string]bool{"Accounts": true, "Signer.Earlier": true}

// TestEveryEffectIsIntercepted calls every method of every interface of a
// Provider: a new one that is not wrapped is found here. (The services are nil:
// a call that gets past the witness panics.)
func TestEveryEffectIsIntercepted(t *testing.T) {
	w := &witness{}
	p := &point.Provider{Scanner: unused{}}
	effect.Wrap(p, w)
	calls := 0
	fields := reflect.ValueOf(p).Elem()
	for i := range fields.NumField() {
		field := fields.Type().Field(i)
		if field.Type.Kind() != reflect.Interface || notEffects[field.Name] {
			continue
		}
		for m := range field.Type.NumMethod() {
			method := field.Type.Method(m)
			if notEffects[field.Name+"."+method.Name] {
				continue
			}
			call(fields.Field(i).MethodByName(method.Name))
			if calls++; len(w.seen) != calls {
				t.Fatalf("%s.%s: %d effects seen after %d calls", field.Name, method.Name, len(w.seen), calls)
			}
		}
	}
	seen := map[effect.Effect]bool{}
	for _, e := range w.seen {
		if seen[e] {
			t.Errorf("effect %q has two methods", e)
		}
		seen[e] = true
	}
	for e := range seen {
		if !slices.Contains(effect.All(), e) {
			t.Errorf("effect %q is not in All", e)
		}
	}
	if calls < 25 {
		t.Errorf("%d methods found, want those of all interfaces", calls)
	}
}

type unused struct{ point.Scanner }

// call calls a method with the zero values of its parameters.
func call(method reflect.Value) {
	var args []reflect.Value
	for i := range method.Type().NumIn() {
		in := method.Type().In(i)
		if method.Type().IsVariadic() && i == method.Type().NumIn()-1 {
			break
		}
		if in == reflect.TypeFor[context.Context]() {
			args = append(args, reflect.ValueOf(context.Background()))
			continue
		}
		args = append(args, reflect.Zero(in))
	}
	method.Call(args)
}

// passing does every effect and remembers which.
type passing struct{ seen []effect.Effect }

func (p *passing) Around(_ context.Context, e effect.Effect, do func() (any, error)) (any, error) {
	p.seen = append(p.seen, e)
	return do()
}

// states grants every lease, and notes when it is released.
type states struct {
	point.State
	released bool
}

func (s *states) Lease(context.Context, point.Key, time.Duration) (func(), bool, error) {
	return func() { s.released = true }, true, nil
}

func TestReleaseIsAnEffect(t *testing.T) {
	s, i := &states{}, &passing{}
	p := &point.Provider{State: s}
	effect.Wrap(p, i)
	release, ok, err := p.State.Lease(context.Background(), point.Key{}, time.Minute)
	if !ok || err != nil {
		t.Fatalf("Lease = %v, %v, want it taken", ok, err)
	}
	release()
	if !s.released || !slices.Equal(i.seen, []effect.Effect{effect.Lease, effect.Release}) {
		t.Errorf("released %v, effects %v, want lease and release", s.released, i.seen)
	}
}

// TestSignatureIsAnEffect: the key that a signer gives is wrapped too.
func TestSignatureIsAnEffect(t *testing.T) {
	i := &passing{}
	p := &point.Provider{Signer: keys{}}
	effect.Wrap(p, i)
	key, _, err := p.Signer.Current()
	if err != nil {
		t.Fatal(err)
	}
	signature, err := key.Sign(nil, nil, crypto.SHA256)
	if string(signature) != "signature" || err != nil || !slices.Equal(i.seen, []effect.Effect{effect.Key, effect.Sign}) {
		t.Errorf("Sign = %q, %v, effects %v, want the signature, key and sign", signature, err, i.seen)
	}
}

type keys struct{}

func (keys) Earlier() []point.Credential { return nil }

func (keys) Current() (crypto.Signer, []*x509.Certificate, error) { return keys{}, nil, nil }

func (keys) Public() crypto.PublicKey { return nil }

func (keys) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return []byte("signature"), nil
}
