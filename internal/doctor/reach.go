package doctor

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// checkReach tells whether Postfix's user may connect to our unix sockets.
func (c *postfixSettings) checkReach(want MTA) (found []Finding) {
	name := c.main["mail_owner"]
	who, err := lookUpUser(name)
	for _, door := range []struct {
		name   string
		socket Socket
	}{{"access", want.Access}, {"incoming", want.Incoming}, {"delivery", want.Delivery}} {
		if door.socket.Network != "unix" {
			continue
		}
		check := "postfix.reach." + door.name
		if err != nil {
			found = append(found, notChecked(check, "%v", err))
			continue
		}
		found = append(found, who.judgePath(check, door.socket.Address))
	}
	return found
}

// account is a user of this machine.
type account struct {
	name   string
	uid    uint32
	groups []uint32
}

func lookUpUser(name string) (*account, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	groups, err := u.GroupIds()
	if err != nil {
		return nil, err
	}
	a := &account{name: name}
	for _, id := range append([]string{u.Uid}, groups...) {
		n, err := strconv.ParseUint(id, 10, 32)
		if err != nil {
			return nil, err
		}
		a.groups = append(a.groups, uint32(n))
	}
	a.uid, a.groups = a.groups[0], a.groups[1:]
	return a, nil
}

// judgePath tells whether the user may write to a path, which all directories
// above it must let him come to.
func (a *account) judgePath(check, path string) Finding {
	const write, enter = 2, 1
	needed := fs.FileMode(write)
	for at := path; ; at, needed = filepath.Dir(at), enter {
		info, err := os.Stat(at)
		if err != nil {
			return notChecked(check, "%v", err)
		}
		if !a.may(info, needed) {
			return bad(check, a.repair(at, info, needed), "the user %s of Postfix cannot come to %s: %s has mode %04o", a.name, path, at, info.Mode().Perm())
		}
		if at == filepath.Dir(at) {
			return good(check, "the user %s of Postfix may connect", a.name)
		}
	}
}

// may tells whether the mode of a file grants something, as the kernel judges.
func (a *account) may(info fs.FileInfo, needed fs.FileMode) bool {
	owner, ok := info.Sys().(*syscall.Stat_t)
	mode := info.Mode().Perm()
	switch {
	case a.uid == 0 || !ok:
		return true
	case owner.Uid == a.uid:
		return mode>>6&needed != 0
	case slices.Contains(a.groups, owner.Gid):
		return mode>>3&needed != 0
	}
	return mode&needed != 0
}

// repair: be in the group, if that may do it; else open it to the group.
func (a *account) repair(path string, info fs.FileInfo, needed fs.FileMode) string {
	gid := strconv.Itoa(int(info.Sys().(*syscall.Stat_t).Gid))
	group := &user.Group{}
	if known, err := user.LookupGroupId(gid); err == nil {
		group = known
	}
	if info.Mode().Perm()>>3&needed != 0 {
		return fmt.Sprintf("adduser %s %s && postfix reload", a.name, cmp.Or(group.Name, gid))
	}
	if info.IsDir() {
		return fmt.Sprintf("chgrp %s %s && chmod g+x %s", a.name, path, path)
	}
	return fmt.Sprintf("chgrp %s %s && chmod g+rw %s", a.name, path, path)
}
