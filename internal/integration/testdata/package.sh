# Installs one package, upgrades to the other, removes and purges it, in a copy of the
# system's root that is gone when this ends: an overlay, in a mount namespace of its own.
set -eu

copy=$(mktemp -d)
mount -t tmpfs none "$copy"
mkdir "$copy/upper" "$copy/work" "$copy/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$copy/upper,workdir=$copy/work" "$copy/root"
mount --bind /proc "$copy/root/proc"
mount --bind /dev "$copy/root/dev"
mount -t tmpfs none "$copy/root/run"
mount -t tmpfs none "$copy/root/tmp"
cp "$1" "$copy/root/tmp/old.deb"
cp "$2" "$copy/root/tmp/new.deb"

inside() { chroot "$copy/root" "$@"; }

fail() {
	echo "FAILED: $1"
	exit 1
}

config=/etc/pec-milter/pec-milter.toml

inside dpkg --force-depends -i /tmp/old.deb
inside /usr/sbin/pec-milter version
inside id pec-milter
test "$(inside stat -c '%U %a' /var/lib/pec-milter/quarantine)" = 'pec-milter 700' || fail 'the quarantine is not the daemon'\''s'
for page in 8/pec-milter.8 5/pec-milter.toml.5; do
	warnings=$(inside env MANROFFSEQ= LC_ALL=C.UTF-8 man --warnings -E UTF-8 -l -Tutf8 -Z "/usr/share/man/man$page.gz" 2>&1 >/dev/null)
	test -z "$warnings" || fail "man page $page: $warnings"
done
inside bash -c '. /usr/share/bash-completion/completions/pec-milter; COMP_WORDS=(pec-milter log se) COMP_CWORD=2; _pec_milter; test "${COMPREPLY[*]}" = "search seal"' || fail 'no completion'

echo '# edited' >>"$copy/root$config"
echo evidence >"$copy/root/var/lib/pec-milter/pec.db"
inside dpkg --force-depends -i /tmp/new.deb
test "$(inside dpkg-query -W -f '${Version}' pec-milter)" = 2 || fail 'it was not upgraded'
grep -q '^# edited' "$copy/root$config" || fail 'the upgrade has lost the configuration'

inside dpkg -r pec-milter
test -e "$copy/root$config" || fail 'removing it has removed the configuration'
test ! -e "$copy/root/usr/sbin/pec-milter" || fail 'the program is left'
inside dpkg -P pec-milter
test -e "$copy/root/var/lib/pec-milter/pec.db" || fail 'the purge has removed the legal log'
left=$(cd "$copy/upper" && find . -type f ! -path './var/lib/dpkg/*' ! -path './var/lib/pec-milter/*' ! -path './var/log/*' \
	! -path './var/cache/*' ! -name 'passwd*' ! -name 'group*' ! -name 'shadow*' ! -name 'gshadow*' ! -name '.pwd.lock')
test -z "$left" || fail "the purge has left: $left"
