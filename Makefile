# Each target is a line or two; the work is in scripts/ and in the tests themselves.
.PHONY: setup packages build check test quick test-rungs test-long fuzz demo docs bench
.PHONY: bench-netns fmt ci clean

# npm ci only when the lock file is newer than what is installed.
node_modules/.package-lock.json: package-lock.json package.json
	npm ci --no-audit --no-fund

packages:
	scripts/packages.sh

setup: packages node_modules/.package-lock.json

build: node_modules/.package-lock.json
	scripts/build.sh

check: build
	npx biome ci --error-on-warnings .

test: setup check
	scripts/test.sh

# The tests that need nothing but Node: for every save.
quick: build
	scripts/test.sh --quick

# The namespace tests without one offload after the other.
test-rungs: setup build
	scripts/rungs.sh

# The tests that have a long form, in it: 10^6 interleavings, 10^7 frames, 65,000 leases. Hours.
test-long: setup build
	scripts/long.sh

# FUZZ_SECONDS for each target, 60 unless told otherwise.
fuzz: build
	scripts/fuzz.sh

demo: setup build
	scripts/demo.sh

# The pages of docs/ that come from the program's tables.
docs: build
	node dist/scripts/docs/main.js

fmt: node_modules/.package-lock.json
	npx biome check --write .

bench: build
	node dist/bench/main.js

bench-netns: setup build
	node dist/bench/netns/main.js

ci: test

clean:
	rm -rf dist
