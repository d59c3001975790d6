#!/bin/sh
# Installs what the demo and the tests of pec-milter need on Debian 12, and
# nothing else: packages that are there already are left alone, and no service
# is started, now or at the next boot. Run it as often as you like.
#
#   contrib/debian/setup.sh
#   contrib/debian/setup.sh bench    and what "make bench" compares with
#   contrib/debian/setup.sh test     and what "make test" judges units and package with,
#                                    Sendmail, unpacked, not installed, and a Docker engine
#   contrib/debian/setup.sh sendmail what "make demo MTA=sendmail" needs
#   contrib/debian/setup.sh package  what "make deb" needs, alone
#
# It needs root, apt and a Go of at least 1.21 (which fetches by itself the
# toolchain that go.mod names). What it cannot provide it names, all at once,
# and exits 69 (EX_UNAVAILABLE).
set -eu

# The servers that the stories run, their networks, the second judges (openssl, xmllint, promtool), and a
# C compiler for PKCS#11 and the race detector.
packages='postfix dovecot-core dovecot-imapd dovecot-lmtpd dovecot-pop3d
	dovecot-sieve clamav-daemon softhsm2 redis-server postgresql slapd ldap-utils iproute2 openssl unzip libxml2-utils prometheus gcc libc6-dev
	ca-certificates'

compared='opendkim amavisd-new'
makers='gcc libc6-dev binutils go-md2man ca-certificates'
# The judges of units, pages and package: lintian alone is a hundred small packages.
judges="$makers systemd man-db lintian"
# The engine, Compose, and what makes an image of Debian where no registry is reached.
containers='docker.io docker-compose mmdebstrap'

# Sendmail cannot be installed beside Postfix: its packages are unpacked into a tree of their
# own, and what they need beside it is installed.
sendmail='sendmail-bin sendmail-cf'
sendmail_installed='sendmail-base lockfile-progs' # what else it takes to install them
sendmail_needs='m4 sasl2-bin libsasl2-2 libsasl2-modules libsasl2-modules-db libdb5.3 libldap-2.5-0 liblockfile1 libnsl2
	libssl3 libwrap0 util-linux'
tree=/var/cache/pec-milter-test/sendmail
archives=/var/cache/pec-milter-test/packages

policy=/usr/sbin/policy-rc.d
saved=$policy.before-pec-milter
mark='for the time of one run of pec-milter contrib/debian/setup.sh'

main() {
	case ${1-} in
	'') ;;
	bench) packages="$packages $compared" ;;
	test) packages="$packages $judges $sendmail_needs $(missing_engine)" ;;
	sendmail) packages="$packages $sendmail_needs" ;;
	package) packages=$makers ;;
	*)
		echo 'usage: setup.sh [bench|test|sendmail|package]' >&2
		exit 64
		;;
	esac
	check_machine
	install_missing
	case ${1-} in
	test | sendmail) unpack_sendmail ;;
	esac
}

install_missing() {
	missing=$(missing_packages)
	if [ -z "$missing" ]; then
		return
	fi
	echo "setup: installing" $missing >&2
	install_quietly $missing
	missing=$(missing_packages)
	if [ -n "$missing" ]; then
		echo "setup: still not installed:" $missing "(see what apt-get said above)" >&2
		exit 69
	fi
}

# unpack_sendmail makes the tree, whole or not at all. The setgid bits go: the tests run it
# as root, and a program with them looks for its libraries otherwise. The packages stay
# beside it, for a test that installs them in a copy of this system.
unpack_sendmail() {
	if [ -x $tree/usr/libexec/sendmail/sendmail ] && [ -d $archives ]; then
		return
	fi
	echo "setup: unpacking $sendmail into $tree" >&2
	mkdir -p "${tree%/*}"
	work=$(mktemp -d "$tree.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	(cd "$work" && apt-get -q update >&2 && apt-get -q -o APT::Sandbox::User=root download $sendmail $sendmail_installed >&2) || {
		echo "setup: the packages $sendmail $sendmail_installed could not be fetched (see what apt-get said above)" >&2
		exit 69
	}
	for package in $sendmail; do
		dpkg-deb -x "$work/$package"_*.deb "$work/tree"
	done
	chmod -R u-s,g-s "$work/tree"
	chmod 755 "$work" "$work/tree"
	rm -rf $tree $archives
	mv -T "$work/tree" $tree
	mv -T "$work" $archives
	trap - EXIT
}

# check_machine names everything that this script cannot provide.
check_machine() {
	faults=
	if [ "$(id -u)" -ne 0 ]; then
		fault 'not root: Postfix can only be started by root. Run this with sudo, or in a container.'
	fi
	if [ "$(os_release ID)" != debian ] || [ "$(os_release VERSION_ID)" != 12 ]; then
		fault "this is not Debian 12 but $(os_release PRETTY_NAME): other releases have another Dovecot, with another configuration syntax. Use a container: docker run -it debian:12"
	fi
	check_go
	if [ -n "$faults" ]; then
		printf '%s' "$faults" >&2
		exit 69
	fi
}

# missing_engine leaves alone an engine that is not Debian's.
missing_engine() {
	for package in $containers; do
		case $package in
		docker.io) command -v dockerd ;;
		docker-compose) docker compose version || command -v docker-compose ;;
		*) false ;;
		esac >/dev/null 2>&1 || echo "$package"
	done
}

fault() {
	faults="${faults}setup: $1
"
}

os_release() {
	(. /etc/os-release && eval "printf '%s' \"\${$1-}\"") 2>/dev/null || true
}

# check_go asks for the version outside of the module and without the
# toolchain switch: it is the installed one that must be able to switch.
check_go() {
	if ! command -v go >/dev/null; then
		fault 'no go command in PATH. Install Go from https://go.dev/dl/ (any version from 1.21); if it is in /usr/local/go, set PATH=$PATH:/usr/local/go/bin'
		return
	fi
	version=$(cd / && GOTOOLCHAIN=local go env GOVERSION)
	minor=$(echo "$version" | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
	if [ "${minor:-99}" -lt 21 ]; then
		fault "$(command -v go) is $version and cannot fetch a newer toolchain by itself: at least Go 1.21 is needed, from https://go.dev/dl/"
	fi
}

missing_packages() {
	for package in $packages; do
		case $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) in
		?i*) ;;
		*) echo "$package" ;;
		esac
	done
}

# install_quietly installs packages while policy-rc.d forbids every start of a
# service, and disables what the packages enabled for the next boot.
install_quietly() {
	trap restore_policy EXIT
	trap 'exit 130' INT
	trap 'exit 143' HUP TERM
	forbid_services
	before=$(enabled_units)
	export DEBIAN_FRONTEND=noninteractive
	debconf-set-selections <<-'ANSWERS'
		postfix postfix/main_mailer_type select No configuration
		clamav-freshclam clamav-freshclam/autoupdate_freshclam select manual
	ANSWERS
	apt-get -q -o DPkg::Lock::Timeout=120 update >&2
	apt-get -q -y -o DPkg::Lock::Timeout=120 install --no-install-recommends "$@" >&2
	disable_new_units
	restore_policy
	trap - EXIT INT HUP TERM
}

# forbid_services puts a policy of the machine's own aside; one that an earlier
# run of ours left behind (killed by force) is not the machine's own.
forbid_services() {
	if [ -e "$policy" ] && ! grep -q "$mark" "$policy"; then
		mv "$policy" "$saved"
	fi
	printf '#!/bin/sh\n# %s\nexit 101\n' "$mark" >"$policy"
	chmod 755 "$policy"
}

restore_policy() {
	rm -f "$policy"
	if [ -e "$saved" ]; then
		mv "$saved" "$policy"
	fi
}

# enabled_units lists what systemd starts at boot; nothing where it does not run.
enabled_units() {
	if [ -d /run/systemd/system ]; then
		systemctl list-unit-files --no-legend --state=enabled | cut -d ' ' -f 1
	fi
}

disable_new_units() {
	for unit in $(enabled_units); do
		case " $(echo $before) " in
		*" $unit "*) ;;
		*) systemctl disable --quiet "$unit" ;;
		esac
	done
}

main "$@"
