//go:build integration

package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// inspected is what docker inspect says of a container.
type inspected struct {
	Name   string
	State  struct{ Pid int }
	Config struct {
		User string
		Env  []string
	}
	HostConfig struct {
		ReadonlyRootfs  bool
		Privileged      bool
		CapDrop, CapAdd []string
		SecurityOpt     []string
		NetworkMode     string
	}
}

// services are all that compose.yml has, but for the trial.
func services() (all []string) {
	for _, provider := range []string{"alfa", "beta"} {
		for _, server := range []string{"host", "pec-milter", "postfix", "dovecot", "redis", "postgresql", "clamav", "openldap"} {
			all = append(all, provider+"-"+server)
		}
	}
	return all
}

// checkConfinement: no container may do more than compose.yml says, by what the engine
// has been told and by what the kernel says of the process.
func (c *composed) checkConfinement(services ...string) {
	c.t.Helper()
	for _, service := range services {
		what, err := c.inspect(service)
		if err == nil {
			err = errors.Join(what.confined(), what.process(service))
		}
		if err == nil {
			_, failed := c.exec(service, "touch", "/here")
			if failed == nil || !strings.Contains(failed.Error(), "Read-only file system") {
				err = fmt.Errorf("a file may be made in /: %w", failed)
			}
		}
		if err != nil {
			c.t.Errorf("%s: %v", service, err)
		}
	}
}

func (c *composed) inspect(service string) (*inspected, error) {
	id, err := c.id(service)
	if err != nil {
		return nil, err
	}
	text, err := c.docker("inspect", id)
	if err != nil {
		return nil, err
	}
	var found []inspected
	if err := json.Unmarshal([]byte(text), &found); err != nil || len(found) != 1 {
		return nil, fmt.Errorf("%d containers: %w", len(found), err)
	}
	return &found[0], nil
}

// postfixCapabilities are what master needs to start each program as its user.
var postfixCapabilities = []string{"CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"}

func (i *inspected) confined() error {
	var errs []error
	check := func(good bool, what string, got any) {
		if !good {
			errs = append(errs, fmt.Errorf("%s: %v", what, got))
		}
	}
	host, postfix := i.HostConfig, strings.Contains(i.Name, "postfix")
	check(host.ReadonlyRootfs, "the root may be written", host.ReadonlyRootfs)
	check(!host.Privileged, "privileged", host.Privileged)
	check(slices.Equal(host.CapDrop, []string{"ALL"}), "CapDrop", host.CapDrop)
	check(slices.Equal(host.SecurityOpt, []string{"no-new-privileges:true"}), "SecurityOpt", host.SecurityOpt)
	root := i.Config.User == "" || i.Config.User == "root" || strings.HasPrefix(i.Config.User, "0")
	check(root == postfix, "user", i.Config.User)
	if postfix {
		check(slices.Equal(host.CapAdd, postfixCapabilities), "CapAdd", host.CapAdd)
	} else {
		check(len(host.CapAdd) == 0, "CapAdd", host.CapAdd)
	}
	for _, variable := range i.Config.Env {
		check(!strings.Contains(strings.ToLower(variable), "pass"), "a password in the environment", variable)
	}
	return errors.Join(errs...)
}

// process looks at the first process of the container.
func (i *inspected) process(service string) error {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", i.State.Pid))
	if err != nil {
		return err
	}
	status := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		status[key] = strings.Fields(value)
	}
	want := map[string]string{"NoNewPrivs": "1"}
	if !strings.HasSuffix(service, "-postfix") {
		for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
			want[set] = "0000000000000000"
		}
		if slices.Contains(status["Uid"], "0") || slices.Contains(status["Gid"], "0") {
			err = fmt.Errorf("runs as user %v, group %v", status["Uid"], status["Gid"])
		}
	}
	for key, value := range want {
		if got := strings.Join(status[key], " "); got != value {
			err = errors.Join(err, fmt.Errorf("%s: got %q, want %q", key, got, value))
		}
	}
	return err
}

// checkToken: SoftHSM signs inside the container, and the key is on its token alone; the
// sidecar has no network but that of its MTA.
func (c *composed) checkToken(providers ...string) {
	c.t.Helper()
	for _, provider := range providers {
		service := provider + "-pec-milter"
		c.waitHealthy(service)
		out, err := c.exec(service, "pec-milter", "hsm", "test", "--config", "/etc/pec-milter/pec-milter.toml")
		if err != nil {
			c.t.Errorf("%s: %v", service, err)
		}
		c.t.Log(service, ": ", out)
		what, err := c.inspect(service)
		if err != nil {
			c.t.Fatal(err)
		}
		maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", what.State.Pid))
		if err != nil || !strings.Contains(string(maps), filepath.Base(softHSM)) {
			c.t.Errorf("%s has not loaded %s (%v)", service, softHSM, err)
		}
		if files, err := c.exec(service, "sh", "-c", "grep -rl 'PRIVATE KEY' /etc/pec-milter /var/lib/pec-milter || true"); err != nil || files != "" {
			c.t.Errorf("%s has keys in files: %q (%v)", service, files, err)
		}
		host, err := c.id(provider + "-host")
		if err != nil || what.HostConfig.NetworkMode != "container:"+host {
			c.t.Errorf("%s has the network %s, want that of %s (%v)", service, what.HostConfig.NetworkMode, host, err)
		}
	}
}

// checkContext: an image can have no more than the program and contrib, for the engine gets
// nothing else, though the keys of a trial may be in build.
func (c *composed) checkContext() {
	c.t.Helper()
	image := c.project + "/context"
	cmd := fmt.Sprintf("printf 'FROM %s/base\\nCOPY . /context\\n' | docker build --quiet --tag %s --file - . >/dev/null 2>&1 && docker run --rm --network none %s find /context -type f", c.project, image, image)
	files := strings.Fields(c.run(cmd))
	programs := 0
	for _, file := range files {
		switch {
		case file == "/context/build/pec-milter":
			programs++
		case !strings.HasPrefix(file, "/context/contrib/"):
			c.t.Errorf("the engine gets %s", file)
		}
	}
	if programs != 1 || len(files) < 20 {
		c.t.Errorf("the engine gets %q, want the program and contrib", files)
	}
}

// checkOperation does what docs/operations.md says of containers.
func (c *composed) checkOperation() {
	c.t.Helper()
	c.run(composeFile + " exec -T alfa-dovecot start-dovecot homes")
	c.run(composeFile + " kill -s HUP alfa-pec-milter")
	err := waitFor("configuration read again", patience, func() error {
		log, err := c.docker("logs", "--tail", "100", c.mustID("alfa-pec-milter"))
		if err == nil && !strings.Contains(log, "configuration read again") {
			err = errors.New(log)
		}
		return err
	})
	if err != nil {
		c.t.Error(err)
	}
	c.run(composeFile + " up --detach --no-deps --force-recreate alfa-host alfa-postfix alfa-pec-milter")
	c.checkToken("alfa", "beta")
	if out, err := c.exec("alfa-clamav", "freshclam", "--version"); err != nil {
		c.t.Errorf("freshclam: %v", err)
	} else {
		c.t.Log(out)
	}
}

func (c *composed) mustID(service string) string {
	c.t.Helper()
	id, err := c.id(service)
	if err != nil {
		c.t.Fatal(err)
	}
	return id
}

// checkDoors: with compose.tcp.yml the doors are ports, of the loopback alone.
func (c *composed) checkDoors() {
	c.t.Helper()
	for _, provider := range []string{"alfa", "beta"} {
		c.waitHealthy(provider + "-pec-milter")
		c.waitHealthy(provider + "-postfix")
		// The columns of /proc/net/tcp: address and port in hexadecimal digits.
		table, err := c.exec(provider+"-host", "cat", "/proc/net/tcp", "/proc/net/tcp6")
		for _, port := range []int{10024, 10025, 10026, 10027} {
			if !strings.Contains(table, fmt.Sprintf(" 0100007F:%04X 00000000:0000 0A ", port)) || strings.Count(table, fmt.Sprintf(":%04X 0000", port)) != 1 {
				c.t.Errorf("%s: port %d does not listen on 127.0.0.1 alone (%v):\n%s", provider, port, err, table)
			}
		}
	}
}
