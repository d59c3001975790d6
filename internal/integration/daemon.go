package integration

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ConfigFile is the configuration of the provider's pec-milter.
func (p *Provider) ConfigFile() string { return p.daemonFile("pec-milter.toml") }

// LogFile is what the provider's pec-milter logs.
func (p *Provider) LogFile() string { return filepath.Join(p.Dir, "pec-milter.log") }

// StartDaemon starts pec-milter and returns when its three doors are open.
func (p *Provider) StartDaemon() error {
	environment := append(p.daemonEnvironment(), "PEC_MILTER_CLOCK="+p.daemonFile("clock"), "PEC_FAULT_FILE="+p.daemonFile("fault"),
		"PEC_MEASURE_SOCKET="+p.MeasureSocket())
	if p.variant().Unlogged {
		environment = append(environment, "PEC_MEASURE_UNLOGGED=yes")
	}
	var err error
	p.daemon, err = program{
		name:    "pec-milter of " + p.Name,
		command: append(p.enter[:len(p.enter):len(p.enter)], p.world.options.Binary, "serve", "--config", p.ConfigFile()),
		env:     environment,
		log:     p.LogFile(),
		guard:   p.world.guard,
	}.start()
	if err != nil {
		return err
	}
	for _, door := range []string{"access", "incoming", "delivery"} {
		network, socket := "unix", filepath.Join(p.Dir, "queue", "pec-milter", door+".sock")
		if door == "access" && p.variant().TCP {
			network, socket = "tcp", address(p.Ports.Access)
		}
		if err := p.waitForServer(p.daemon, p.LogFile(), network, socket); err != nil {
			return err
		}
	}
	return nil
}

// MoveClock puts the clock of the provider's pec-milter ahead of the machine's;
// 0: not at all. The binary must be built with the tag movableclock.
func (p *Provider) MoveClock(by time.Duration) error {
	return replaceFile(p.daemonFile("clock"), by.String())
}

// JumpClock does the same as somebody does who sets the machine's clock:
// pec-milter sees it.
func (p *Provider) JumpClock(by time.Duration) error {
	return replaceFile(p.daemonFile("clock"), "jump "+by.String())
}

// OrderFault has the provider's pec-milter fail, as docs/faults.md says; "": not at
// all. The binary must be built with the tag faults.
func (p *Provider) OrderFault(order string) error { return replaceFile(p.daemonFile("fault"), order) }

// StopDaemon asks pec-milter to end.
func (p *Provider) StopDaemon() error { return p.daemon.stop() }

// KillDaemon ends pec-milter with SIGKILL, at once.
func (p *Provider) KillDaemon() error { return p.daemon.kill() }

// Command runs another command of the provider's pec-milter and gives its output.
func (p *Provider) Command(arguments ...string) ([]byte, error) {
	return run(p.daemonEnvironment(), append([]string{p.world.options.Binary}, arguments...)...)
}

// PeakMemory is the most memory, in bytes, that the running pec-milter ever had
// resident.
func (p *Provider) PeakMemory() (int64, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", p.daemon.pid()))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if value, found := strings.CutPrefix(lines.Text(), "VmHWM:"); found {
			var kib int64
			_, err := fmt.Sscanf(value, "%d kB", &kib)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("no VmHWM in %s: %w", file.Name(), lines.Err())
}
