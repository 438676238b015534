# cLLM. The two commands that matter: `make serve` and `make test`. `make help` lists the rest.
#
#   CONFIG=release|debug   (default release)     SAN=address,undefined|thread   sanitizers, own build folder
#   CC=clang               another compiler      WERROR=0                       warnings stay warnings
#   PAGE=0                 without the page at / (so also where there is no npm)
#   SAN_KERNELS=0          … only around the kernels, not in them: whole suites in minutes, not hours

CONFIG ?= release
SAN    ?=
SAN_KERNELS ?= 1
WERROR ?= 1
JOBS   ?= $(shell nproc 2>/dev/null || echo 2)
comma  := ,
MAKEFLAGS += --no-print-directory
ifeq ($(MAKELEVEL),0)
  MAKEFLAGS += -j$(JOBS)
endif

# The hot kernels want a compiler that keeps accumulators in registers; see docs/kernels.md.
ifeq ($(origin CC),default)
  CC := $(firstword $(foreach c,clang-19 clang-18 clang-17 clang-16 clang gcc cc,$(if $(shell command -v $(c) 2>/dev/null),$(c))))
endif

BUILD := build/$(CONFIG)$(if $(SAN),-$(subst $(comma),-,$(SAN))$(if $(filter 0,$(SAN_KERNELS)),-around))
ARCH  := $(shell uname -m)

PKGS := libevent libevent_openssl libssl libcrypto libcurl libedit jansson libpcre2-8 libutf8proc yaml-0.1 libxxhash
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef -Wwrite-strings \
        -Wformat=2 $(if $(filter 1,$(WERROR)),-Werror)
OPT_release := -O2 -DNDEBUG -D_FORTIFY_SOURCE=2 -fstack-protector-strong
OPT_debug   := -O1 -fno-omit-frame-pointer
# No contraction: a*b+c stays two roundings unless the source says fma, on every rung alike.
CFLAGS  := -std=c17 -D_POSIX_C_SOURCE=200809L -g -fPIC -fvisibility=hidden -pthread -ffp-contract=off $(OPT_$(CONFIG)) $(WARN) \
           $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all) -Iinclude -Isrc -Itests $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
LDFLAGS := -pie -pthread -Wl,-z,relro,-z,now $(if $(SAN),-fsanitize=$(SAN))
LDLIBS  := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lm

STRICT_DIRS := base gguf text constrain server api library
ISA_avx2    := -mavx2 -mfma -mf16c
ISA_vnni_vex  := -mavxvnni
ISA_vnni_evex := -mavx512vl -mavx512vnni
ISA_avx512    := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c -mprefer-vector-width=512
ISA_neon      := -march=armv8.2-a+dotprod
ISA_neon_i8mm := -march=armv8.2-a+dotprod+i8mm

SRC_DIRS := base gguf kernels kernels/scalar text chat constrain model engine server api library cli
ifeq ($(ARCH),x86_64)
  SRC_DIRS += kernels/avx2 kernels/avxvnni kernels/avx512 kernels/avx512vnni kernels/amx
else ifeq ($(ARCH),aarch64)
  SRC_DIRS += kernels/neon kernels/neon_i8mm
endif
SRCS      := $(sort $(wildcard $(SRC_DIRS:%=src/%/*.c)))
LIB_SRCS  := $(filter-out src/cli/main.c,$(SRCS))
OBJS      := $(SRCS:%.c=$(BUILD)/%.o)
LIB_OBJS  := $(LIB_SRCS:%.c=$(BUILD)/%.o)
UNIT_SRCS := $(sort $(wildcard tests/unit.c $(foreach d,base gguf kernels text chat constrain model engine server api library cli,tests/$(d)/*.c)))
UNIT_OBJS := $(UNIT_SRCS:%.c=$(BUILD)/%.o)
KCHECK_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard tests/kcheck/*.c)))
KERNEL_OBJS := $(filter $(BUILD)/src/base/% $(BUILD)/src/kernels/%,$(LIB_OBJS))

# The page at /: web/ is bundled by esbuild, and src/server/web_assets.c embeds what comes out.
NPM  := $(firstword $(shell command -v npm 2>/dev/null) $(wildcard .venv/bin/npm))
PAGE ?= $(if $(NPM),1,0)
WEB  := build/$(if $(filter 0,$(PAGE)),no-web,web)
with_node := PATH="$$PATH:$(abspath .venv/bin)"

.DELETE_ON_ERROR:
.PHONY: all
all: $(BUILD)/cllm

$(BUILD)/cllm: $(OBJS)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# libcllm: what include/cllm.h needs of all this, with no name to be seen but its own.
VERSION  := $(shell sed -n 's/^.define CLLM_VERSION "\(.*\)"/\1/p' src/base/version.h)
SONAME   := libcllm.so.0
LIB_PKGS := jansson libpcre2-8 libutf8proc libxxhash
API_OBJ  := $(BUILD)/src/api/cllm.o
OBJCOPY  ?= objcopy

.PHONY: lib
lib: $(BUILD)/libcllm.a $(BUILD)/libcllm.so

$(BUILD)/parts.a: $(LIB_OBJS)
	@rm -f $@
	@$(AR) rcsT $@ $^

$(BUILD)/libcllm.so: $(BUILD)/parts.a
	@echo "  LINK  $@"
	@$(CC) -shared -pthread -Wl,-soname,$(SONAME),-z,relro,-z,now,-z,defs,--as-needed,--exclude-libs,ALL \
	  $(if $(SAN),-fsanitize=$(SAN) -Wl$(comma)-z$(comma)undefs) -o $@ $(API_OBJ) $< \
	  $(shell pkg-config --libs $(LIB_PKGS) 2>/dev/null) -lm

$(BUILD)/libcllm.a: $(BUILD)/parts.a
	@echo "  AR    $@"
	@$(LD) -r -o $(BUILD)/libcllm.o $(API_OBJ) $<
	@$(OBJCOPY) --wildcard --keep-global-symbol='cllm_*' $(BUILD)/libcllm.o
	@rm -f $@
	@$(AR) rcs $@ $(BUILD)/libcllm.o

$(BUILD)/unit: $(UNIT_OBJS) $(LIB_OBJS)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka

$(BUILD)/kcheck: $(KCHECK_OBJS) $(KERNEL_OBJS)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lm

$(BUILD)/mask_bench: $(BUILD)/tests/bench/mask_bench.o $(LIB_OBJS)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

define STRICT_template
$(BUILD)/src/$(1)/%.o: CFLAGS += -Wconversion -Wno-sign-conversion
endef
$(foreach d,$(STRICT_DIRS),$(eval $(call STRICT_template,$(d))))
# Fully instrumented, the unrolled kernels take minutes to compile; without UBSan and with checks as calls, seconds.
# A server computes twenty times slower with them (kcheck has guard pages around all that kernels read and write).
ISA_san_1 := -O1 -fno-sanitize=undefined $(if $(findstring clang,$(CC)),-mllvm -asan-instrumentation-with-call-threshold=0)
ISA_san_0 := -fno-sanitize=all
ISA_san := $(if $(SAN),$(ISA_san_$(SAN_KERNELS)))
$(BUILD)/src/kernels/avx2/%.o: CFLAGS += $(ISA_avx2) $(ISA_san)
$(BUILD)/src/kernels/avxvnni/%.o: CFLAGS += $(ISA_avx2) $(ISA_san)
# One source, both encodings of its instruction.
$(BUILD)/src/kernels/avxvnni/gemm_vex.o: CFLAGS += $(ISA_vnni_vex)
$(BUILD)/src/kernels/avxvnni/gemm_evex.o: CFLAGS += $(ISA_vnni_evex)
$(BUILD)/src/kernels/avx512/%.o: CFLAGS += $(ISA_avx512) $(ISA_san)
$(BUILD)/src/kernels/amx/%.o: CFLAGS += $(ISA_avx512) -mavx512vnni -mamx-tile -mamx-int8 $(ISA_san)
$(BUILD)/src/kernels/avx512vnni/%.o: CFLAGS += $(ISA_avx512) -mavx512vnni $(ISA_san)
$(BUILD)/src/kernels/neon/%.o: CFLAGS += $(ISA_neon) $(ISA_san)
$(BUILD)/src/kernels/neon_i8mm/%.o: CFLAGS += $(ISA_neon_i8mm) $(ISA_san)
$(BUILD)/src/cli/main.o: CFLAGS += -DCLLM_COMMIT='"$(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)"'

$(BUILD)/src/server/web_assets.o: CFLAGS += -I$(WEB) -Wa,-I$(WEB)
$(BUILD)/src/server/web_assets.o: $(WEB)/assets.def

$(BUILD)/src/server/api_openapi.o: CFLAGS += -Wa,-Isrc/server
$(BUILD)/src/server/api_openapi.o: src/server/openapi.json

build/web/assets.def: web/node_modules/.package-lock.json $(wildcard web/*.* web/src/* web/styles/*)
	@echo "  WEB   $(@D)"
	@$(with_node) node web/build.js $(@D)

# Beside the sources, so that `make clean` does not cost a download.
%/node_modules/.package-lock.json: %/package-lock.json
	@echo "  NPM   $*/node_modules"
	@cd $* && $(with_node) && for pause in 2 4 8 0; do npm ci --loglevel=error --no-progress >&2 && break; \
	  [ $$pause -gt 0 ] || { echo 'npm ci failed; PAGE=0 builds without the page at /' >&2; exit 1; }; \
	  sleep $$pause; done
	@touch $@

build/no-web/assets.def:
	@mkdir -p $(@D)
	@: >$@

# Manual pages bear the date of the sources.
$(BUILD)/src/cli/cmd_man.o: CFLAGS += -DCLLM_DATE='"$(shell git log -1 --format=%cs 2>/dev/null || date -r src/base/version.h +%F)"'

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

# Other flags, other objects.
.PHONY: FORCE
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CFLAGS)' | cmp -s - $@ || echo '$(CFLAGS)' >$@

# The commit is part of the version.
$(BUILD)/src/cli/main.o: $(wildcard $(shell git rev-parse --git-path logs/HEAD 2>/dev/null))

-include $(OBJS:.o=.d) $(UNIT_OBJS:.o=.d) $(KCHECK_OBJS:.o=.d) $(BUILD)/tests/bench/mask_bench.d

# ---- what people call ----

PYTHON        := .venv/bin/python
DEFAULT_MODEL := models/smollm2-135m-instruct-q4_1.gguf
BENCH_MODEL   := models/qwen3-0.6b-q4_k_m.gguf
MODEL         ?= $(DEFAULT_MODEL)
ARGS          ?=
FUZZ_SECONDS  ?= 60
MINUTES       ?= 30
NATIVE        ?= 1
export SAN SAN_KERNELS

.PHONY: help setup serve test docs install uninstall lint kcheck kcheck-arm kcheck-arm-build mask-bench unit models peers fuzz soak format clean

help:
	@echo 'make                  build $(BUILD)/cllm'
	@echo 'make lib              libcllm.a and libcllm.so (include/cllm.h)'
	@echo 'make setup            install missing packages (Debian, Ubuntu) and the Python environment'
	@echo 'make serve            set up, build, fetch the default model, serve on 127.0.0.1:8080'
	@echo '                      MODEL=FILE another model, ARGS="--port 9000 …" further options'
	@echo 'make test             set up, build, make the models, run every test; ARGS="--only NAME" some of them'
	@echo 'make install          program, library, manual pages, completions, systemd unit, below PREFIX=/usr/local; DESTDIR=DIR before it'
	@echo 'make deb              a Debian package, in $(BUILD)'
	@echo 'make dist             a tarball whose program needs few libraries of the system, in $(BUILD)'
	@echo 'make docs             the pages of docs/ as HTML in build/docs'
	@echo 'make unit             build and run the unit tests; ARGS=NAME those suites'
	@echo 'make kcheck           build and run the kernel checker; ARGS="--bench" to time kernels'
	@echo 'make kcheck-arm       the same for AArch64, in an emulator'
	@echo 'make mask-bench       time the token masks of structured output over the benchmark model'"'"'s vocabulary'
	@echo 'make lint             the checks of the source text'
	@echo 'make models           fetch the default model, make the benchmark model (synthetic weights)'
	@echo 'make peers            build and install the servers that bench/peers.py compares with (tens of minutes);'
	@echo '                      NATIVE=0 only their AVX2 wheels'
	@echo 'make fuzz             run each fuzz target for FUZZ_SECONDS=60 (clang)'
	@echo 'make soak             a server under mixed load for MINUTES=30; report and plots in build/soak'
	@echo 'make format           clang-format over the C sources'
	@echo 'make clean            remove build/'
	@echo 'with any of them      SAN=address,undefined or SAN=thread, CONFIG=debug, CC=gcc'

setup:
	@tools/setup.sh tests

# Steps follow one another, and each make reads anew what the set-up has installed.
serve:
	@tools/setup.sh venv
	@$(MAKE) -s $(BUILD)/cllm
	@$(if $(filter $(DEFAULT_MODEL),$(MODEL)),$(PYTHON) tools/fetch_model.py --out $(DEFAULT_MODEL))
	@exec $(BUILD)/cllm serve --model $(MODEL) $(ARGS)

test:
	@tools/setup.sh tests
	@$(MAKE) -s $(BUILD)/cllm $(BUILD)/libcllm.a $(BUILD)/libcllm.so $(BUILD)/unit $(BUILD)/kcheck tests/node/node_modules/.package-lock.json
	@if { command -v qemu-aarch64 && command -v aarch64-linux-gnu-gcc; } >/dev/null; then \
	  $(MAKE) -s kcheck-arm-build; fi
	@$(MAKE) models
	@CLLM_BIN=$(abspath $(BUILD)/cllm) CC='$(CC)' $(PYTHON) tests/run.py --build $(BUILD) $(ARGS)

docs:
	@tools/setup.sh tests
	@$(PYTHON) -m mkdocs build --quiet --strict --clean

# What `make install` puts where; DESTDIR is put before all of it, for packages.
PREFIX  ?= /usr/local
DESTDIR ?=
BINDIR  ?= $(PREFIX)/bin
DATADIR ?= $(PREFIX)/share
UNITDIR ?= $(PREFIX)/lib/systemd/system
LIBDIR  ?= $(PREFIX)/lib
below_prefix = $(patsubst $(PREFIX)/%,$${prefix}/%,$(1))
INCLUDEDIR ?= $(PREFIX)/include
MANUALS  = $(shell awk -F', *' '/^COMMAND/ {print $$2}' src/cli/commands.def)
UNITS   := $(wildcard packaging/systemd/*.service)
INSTALLED = $(BINDIR)/cllm $(DATADIR)/man/man1/cllm.1 $(MANUALS:%=$(DATADIR)/man/man1/cllm-%.1) \
            $(DATADIR)/bash-completion/completions/cllm $(DATADIR)/zsh/site-functions/_cllm \
            $(INCLUDEDIR)/cllm.h $(LIBDIR)/libcllm.a $(LIBDIR)/libcllm.so $(LIBDIR)/$(SONAME) $(LIBDIR)/pkgconfig/cllm.pc \
            $(DATADIR)/fish/vendor_completions.d/cllm.fish $(UNITS:packaging/systemd/%=$(UNITDIR)/%)

install: $(BUILD)/cllm $(BUILD)/libcllm.a $(BUILD)/libcllm.so
	@install -d $(sort $(dir $(INSTALLED:%=$(DESTDIR)%)))
	@install -m 755 $(BUILD)/cllm $(DESTDIR)$(BINDIR)/cllm
	@install -m 644 include/cllm.h $(DESTDIR)$(INCLUDEDIR)/cllm.h
	@install -m 644 $(BUILD)/libcllm.a $(DESTDIR)$(LIBDIR)/libcllm.a
	@install -m 644 $(BUILD)/libcllm.so $(DESTDIR)$(LIBDIR)/$(SONAME)
	@ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libcllm.so
	@sed 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(call below_prefix,$(LIBDIR))|; s|@INCLUDEDIR@|$(call below_prefix,$(INCLUDEDIR))|; s|@VERSION@|$(VERSION)|; s|@PKGS@|$(LIB_PKGS)|' \
	  packaging/cllm.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/cllm.pc
	@$(BUILD)/cllm man >$(DESTDIR)$(DATADIR)/man/man1/cllm.1
	@for name in $(MANUALS); do \
	  $(BUILD)/cllm man $$name >$(DESTDIR)$(DATADIR)/man/man1/cllm-$$name.1 || exit 1; done
	@$(BUILD)/cllm completion bash >$(DESTDIR)$(DATADIR)/bash-completion/completions/cllm
	@$(BUILD)/cllm completion zsh >$(DESTDIR)$(DATADIR)/zsh/site-functions/_cllm
	@$(BUILD)/cllm completion fish >$(DESTDIR)$(DATADIR)/fish/vendor_completions.d/cllm.fish
	@for unit in $(UNITS:packaging/systemd/%=%); do \
	  sed 's|/usr/local/bin/|$(BINDIR)/|' packaging/systemd/$$unit >$(DESTDIR)$(UNITDIR)/$$unit || exit 1; done

# Packages of what is installed, in $(BUILD).
.PHONY: deb dist
deb: $(BUILD)/cllm $(BUILD)/libcllm.a $(BUILD)/libcllm.so
	+@packaging/build_deb.sh $(BUILD) $(VERSION)

dist: $(BUILD)/cllm-dist $(BUILD)/cllm $(BUILD)/libcllm.a $(BUILD)/libcllm.so
	+@packaging/build_dist.sh $(BUILD) cllm-$(VERSION)-$(ARCH)-linux

# Of the system it needs libcurl, libedit and glibc: the first two bring more than is worth linking in.
$(BUILD)/cllm-dist: $(OBJS)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -Wl,--exclude-libs,ALL -o $@ $^ -Wl,-Bstatic -levent_openssl -levent -lssl -lcrypto \
	  -ljansson -lpcre2-8 -lutf8proc -lyaml -lxxhash -Wl,-Bdynamic -lcurl -ledit -lm

uninstall:
	@rm -f $(INSTALLED:%=$(DESTDIR)%)

lint:
	@tools/setup.sh tests
	@$(PYTHON) tests/run.py --build $(BUILD) --only lint

unit: $(BUILD)/unit
	@$(BUILD)/unit $(ARGS)

kcheck: $(BUILD)/kcheck
	@$(BUILD)/kcheck $(ARGS)

mask-bench: $(BUILD)/mask_bench
	@$(BUILD)/mask_bench $(BENCH_MODEL) $(ARGS)

# The kernel checker for AArch64, built and run on another machine. It needs no library but libc.
ARM_BUILD := build/$(CONFIG)-arm
ARM_CC    := $(if $(findstring clang,$(CC)),$(CC) --target=aarch64-linux-gnu,aarch64-linux-gnu-gcc)

kcheck-arm-build:
	@$(MAKE) -s ARCH=aarch64 SAN= PKGS= CC='$(ARM_CC)' BUILD=$(ARM_BUILD) LDFLAGS=-static $(ARM_BUILD)/kcheck

kcheck-arm:
	@tools/setup.sh tests
	@$(MAKE) -s kcheck-arm-build
	@qemu-aarch64 -cpu max $(ARM_BUILD)/kcheck $(ARGS)

models:
	@tools/setup.sh tools
	@$(PYTHON) tools/fetch_model.py --out $(DEFAULT_MODEL)
	@$(MAKE) -s $(BENCH_MODEL)

$(BENCH_MODEL): tools/make_model.py $(wildcard tools/modelgen/*.py)
	@$(PYTHON) tools/make_model.py qwen3-0.6b --type q4_k_m --out $@

# Environments of their own: what they depend on must not move what tools/ and tests/ have pinned.
peers:
	@tools/setup.sh peers
	@test -x .venv/peers/bin/pip || $(PYTHON) -m venv .venv/peers
	@.venv/peers/bin/pip install --quiet --disable-pip-version-check --only-binary=:all: --retries 5 \
	  -r bench/requirements.txt
	@$(if $(filter-out 0,$(NATIVE)),JOBS=$(JOBS) bench/build_peers.sh .venv/peers-native)

# Fuzz targets: tests/fuzz/fuzz_NAME.c, seeds in tests/fuzz/corpus/NAME, finds in build/fuzz/NAME.
FUZZ_NAMES := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))

fuzz:
	@SAN=address tools/setup.sh
	@for name in $(FUZZ_NAMES); do \
	  $(MAKE) SAN=address,undefined,fuzzer-no-link SAN_KERNELS=0 fuzz-$$name || exit 1; done

.PHONY: $(FUZZ_NAMES:%=fuzz-%)
$(FUZZ_NAMES:%=fuzz-%): fuzz-%: $(BUILD)/fuzz_%
	@mkdir -p build/fuzz/$* tests/fuzz/corpus/$*
	$< -max_total_time=$(FUZZ_SECONDS) -timeout=10 -artifact_prefix=build/fuzz/ build/fuzz/$* tests/fuzz/corpus/$*

$(FUZZ_NAMES:%=$(BUILD)/fuzz_%): $(BUILD)/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(LIB_OBJS)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)

# A whole server needs a model.
$(BUILD)/fuzz_http: $(BUILD)/tests/engine/fake_model.o

soak:
	@tools/setup.sh tests
	@$(MAKE) -s $(BUILD)/cllm
	@$(PYTHON) tools/fetch_model.py --out $(DEFAULT_MODEL)
	@CLLM_BIN=$(abspath $(BUILD)/cllm) $(PYTHON) tests/soak/soak.py --minutes $(MINUTES) $(ARGS)

format:
	$(firstword $(foreach c,clang-format-19 clang-format,$(if $(shell command -v $(c)),$(c))) clang-format) -i $(shell find src tests -name '*.[ch]')

clean:
	rm -rf build
