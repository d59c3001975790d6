package integration

import "time"

// module is the PKCS#11 library of the provider's token.
func (p *Provider) module() string {
	if p.variant().SlowToken > 0 {
		return p.daemonFile("slow-token.so")
	}
	return softHSM
}

// makeSlowToken compiles the library that makes SoftHSM slow, if it is to be.
func (p *Provider) makeSlowToken() error {
	takes := p.variant().SlowToken
	if takes == 0 {
		return nil
	}
	source := p.daemonFile("slow-token.c")
	data := struct {
		Module       string
		Microseconds int64
	}{softHSM, int64(takes / time.Microsecond)}
	if err := writeConf(source, "slow-token.c", data); err != nil {
		return err
	}
	_, err := run(nil, "gcc", "-shared", "-fPIC", "-O2", "-Wall", "-o", p.module(), source, "-ldl", "-lpthread")
	return err
}
