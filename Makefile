# Targets are thin: what they do stands in the scripts they call.
#
#   make build      the module, mfa-courier and mfa-admin, in target/release
#   make demo       real logins on a host of its own; INTERACTIVE=1 to log in with your own phone
#   make test       everything that can fail; real logins need root
#   make bench      how long logins take, beside Debian's peers; needs root
#
#   make test-faults, test-races, test-timing, test-leaks, compare, fuzz
#                   the long forms of what make test runs in short; need root
#   make proof      all of those, then docs/proof.md with what they counted
#   make install    DESTDIR, PREFIX, MODULEDIR, LIBEXECDIR; touches neither /etc/mfa nor /etc/pam.d

PREFIX ?= /usr/local
EXAMPLES = $(PREFIX)/share/doc/pam_mfa/examples
UNITS = $(PREFIX)/lib/systemd/system
TARGET = $(or $(CARGO_TARGET_DIR),target)/release

# Where [paths] courier of mfa.toml looks for it, whatever PREFIX is. Elsewhere: write that path there as well. The
# units get it from here.
LIBEXECDIR ?= /usr/libexec/mfa

# Where libpam's own modules are: the multiarch folder of Debian, /usr/lib64/security of Fedora, or another.
MULTIARCH := $(shell dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || $(CC) -print-multiarch 2>/dev/null)
LIBS := $(if $(MULTIARCH),/usr/lib/$(MULTIARCH) /lib/$(MULTIARCH)) /usr/lib64 /usr/lib
MODULEDIR ?= $(patsubst %/pam_permit.so,%,$(firstword $(wildcard $(LIBS:=/security/pam_permit.so)) /usr/lib/security))

# copy FROM,TO: every file below FROM, with the courier's path as it is here.
copy = find $(1) -type f -printf '%P\n' | while read -r file; do install -D -m 0644 "$(1)/$$file" "$(DESTDIR)$(2)/$$file" && \
	sed -i 's|/usr/libexec/mfa/|$(LIBEXECDIR)/|' "$(DESTDIR)$(2)/$$file" || exit 1; done

.PHONY: build demo test bench install test-faults test-races test-timing test-leaks compare fuzz proof

build:
	cargo build --release --locked

demo:
	@INTERACTIVE='$(INTERACTIVE)' tests/demo.sh

test:
	tests/all.sh

bench:
	tests/bench/run.sh

test-faults test-races test-timing test-leaks compare:
	tests/long.sh $(@:test-%=%)

fuzz:
	tests/fuzz/run.sh

proof: test-faults test-races test-timing test-leaks compare fuzz bench
	tests/proof.sh

install:
	@for file in libpam_mfa.so mfa-courier mfa-admin; do test -e $(TARGET)/$$file || { echo "run make build first" >&2; exit 1; }; done
	install -D -m 0644 $(TARGET)/libpam_mfa.so $(DESTDIR)$(MODULEDIR)/pam_mfa.so
	install -D -m 0755 $(TARGET)/mfa-courier $(DESTDIR)$(LIBEXECDIR)/mfa-courier
	install -D -m 0755 $(TARGET)/mfa-admin $(DESTDIR)$(PREFIX)/sbin/mfa-admin
	@$(call copy,config,$(EXAMPLES))
	@$(call copy,packaging/examples,$(EXAMPLES))
	@$(call copy,packaging/systemd,$(UNITS))
