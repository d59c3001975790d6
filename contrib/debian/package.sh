#!/bin/sh
# Makes the Debian package of a built pec-milter: "make deb".
#
#   contrib/debian/package.sh PROGRAM DIRECTORY    the package is left in DIRECTORY
#
# Run in the repository. It needs dpkg-deb, go-md2man and strip, and not root. The version is
# PEC_VERSION, or that of the last commit.
set -eu

program=$1
into=$2
here=contrib/debian
architecture=$(dpkg --print-architecture)
version=${PEC_VERSION:-0~$(git log -1 --format=%cd.%h --date=format:%Y%m%d)}
date=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}

main() {
	umask 022
	root=$(mktemp -d)
	trap 'rm -rf "$root"' EXIT
	put 755 "$program" usr/sbin/pec-milter
	strip --remove-section=.comment --remove-section=.note "$root/usr/sbin/pec-milter"
	put 644 contrib/pec-milter.toml etc/pec-milter/pec-milter.toml
	units
	pages
	documents
	control
	find "$root" -newermt "@$date" -exec touch -h -d "@$date" {} +
	mkdir -p "$into"
	SOURCE_DATE_EPOCH=$date dpkg-deb --root-owner-group --build "$root" "$into/pec-milter_${version}_$architecture.deb"
}

# put MODE FILE PATH
put() {
	mkdir -p "$root/$(dirname "$3")"
	install -m "$1" "$2" "$root/$3"
}

units() {
	for unit in service socket; do
		put 644 "contrib/systemd/pec-milter.$unit" "lib/systemd/system/pec-milter.$unit"
	done
	put 644 contrib/systemd/pec-milter.sysusers usr/lib/sysusers.d/pec-milter.conf
	put 644 contrib/systemd/pec-milter.tmpfiles usr/lib/tmpfiles.d/pec-milter.conf
}

pages() {
	page pec-milter 8 'System Manager'
	page pec-milter.toml 5 'File Formats'
	mkdir -p "$root/usr/share/bash-completion/completions"
	"$program" completion >"$root/usr/share/bash-completion/completions/pec-milter"
}

# page NAME SECTION MANUAL
page() {
	directory=$root/usr/share/man/man$2
	mkdir -p "$directory"
	go-md2man -in "docs/man/$1.$2.md" -out "$directory/$1.$2"
	sed -i "s/^\\.TH .*/.TH \"$1\" \"$2\" \"\" \"pec-milter\" \"$3\"/" "$directory/$1.$2"
	gzip -9n "$directory/$1.$2"
}

# documents: what a Debian package must have, the manual, and contrib, whose paths the
# manual names.
documents() {
	doc=usr/share/doc/pec-milter
	put 644 "$here/copyright" $doc/copyright
	put 644 README.md $doc/README.md
	put 644 README.it.md $doc/README.it.md
	put 644 CHANGELOG.md $doc/NEWS.md
	for file in docs/*.md; do
		put 644 "$file" "$doc/$file"
	done
	mkdir -p "$root/$doc/examples"
	cp -R contrib/clamav contrib/dovecot contrib/openldap contrib/postfix contrib/postgresql contrib/prometheus contrib/redis \
		"$root/$doc/examples"
	cp -R contrib/systemd/drop-ins "$root/$doc/examples/systemd-drop-ins"
	printf 'pec-milter (%s) unstable; urgency=medium\n\n  * See NEWS.md.\n\n -- %s  %s\n' \
		"$version" "$maintainer" "$(date -R -u -d "@$date")" | gzip -9n >"$root/$doc/changelog.gz"
}

maintainer='pec-milter developers <pec-milter@users.noreply.github.com>'

control() {
	mkdir "$root/DEBIAN"
	install -m 755 "$here/postinst" "$here/prerm" "$here/postrm" "$root/DEBIAN"
	echo /etc/pec-milter/pec-milter.toml >"$root/DEBIAN/conffiles"
	(cd "$root" && find usr lib -type f -exec md5sum {} +) >"$root/DEBIAN/md5sums"
	cat >"$root/DEBIAN/control" <<-END
		Package: pec-milter
		Version: $version
		Architecture: $architecture
		Maintainer: $maintainer
		Installed-Size: $(du -k -s "$root" | cut -f 1)
		Depends: libc6 (>= 2.34), systemd | systemd-standalone-sysusers, systemd | systemd-standalone-tmpfiles
		Recommends: postfix | default-mta | mail-transport-agent, dovecot-lmtpd, dovecot-sieve, clamav-daemon
		Suggests: softhsm2, redis-server, postgresql
		Section: mail
		Priority: optional
		Homepage: https://github.com/pec-milter/pec-milter
		Description: engine of Italian certified mail (PEC, RFC 6109)
		 It stands beside an ordinary mail server, as milter and as LMTP server before
		 the mailboxes, and makes it a provider of posta elettronica certificata: signed
		 transport envelopes and receipts, verification of what other providers send, a
		 sealed legal log.
	END
}

main
