# Carries out a file of commands in a copy of the system's root that has no network and
# is gone when this ends: an overlay, in namespaces of its own. The commands find
# themselves in the repository, as somebody does who has just cloned it.
#
#   firststeps.sh REPOSITORY COMMANDS
set -eu

repository=$1
copy=$(mktemp -d)
mount -t tmpfs none "$copy"
mkdir "$copy/upper" "$copy/work" "$copy/root" "$copy/changes" "$copy/change"
mount -t overlay overlay -o "lowerdir=/,upperdir=$copy/upper,workdir=$copy/work" "$copy/root"
mount -t proc proc "$copy/root/proc"
mount --bind /dev "$copy/root/dev"
mount -t tmpfs none "$copy/root/run"
mount -t tmpfs none "$copy/root/tmp"
mkdir -p "$copy/root/run/lock" "$copy/root/$repository" "$copy/root/etc/dovecot"
chmod 1777 "$copy/root/tmp"
cp "$2" "$copy/root/tmp/commands"
mount -t overlay overlay -o "lowerdir=$repository,upperdir=$copy/changes,workdir=$copy/change" "$copy/root/$repository"
ip link set lo up

# No systemd is there to be asked: only whether it would know the units.
cat >"$copy/root/usr/local/bin/systemctl" <<-'END'
	#!/bin/sh
	shift
	for unit in "$@"; do
		case $unit in
		-*) ;;
		*.socket | *.service) test -e "/lib/systemd/system/$unit" ;;
		*) test -e "/lib/systemd/system/$unit.service" || test -x "/etc/init.d/$unit" ;;
		esac || { echo "systemctl: no unit $unit" >&2; exit 5; }
	done
END
chmod 755 "$copy/root/usr/local/bin/systemctl"

# What the packages leave on a fresh machine: the name, and no mail before.
echo localhost >"$copy/root/etc/mailname"
rm -f "$copy/root/etc/postfix/main.cf"

unset TMPDIR
chroot "$copy/root" sh -c 'cd "$1" && exec sh -eux /tmp/commands' sh "$repository" || {
	tail -n 30 "$copy/root"/var/log/mail.log "$copy/root"/var/log/pec-milter.log >&2
	exit 1
}
