# make demo, make test: each does its own set-up in .venv, once. make setup PYTHON=python3.12 picks an interpreter,
# ROS_WHEELS=jazzy the other ROS 2.
.PHONY: docs setup demo test test-slow faults soak test-ros test-jazzy test-nodes lint bench colcon extras clean
.DELETE_ON_ERROR:

VENV ?= .venv
ROS_WHEELS ?= kilted
PYTHON ?=
# robot: what a robot has, and what tests its nodes, in the same versions. No torch.
LIBRARIES ?= all
# Further arguments of `edgevl demo`, `edgevl benchmark` or pytest: make demo ARGS="--out /tmp/run", make test ARGS="-k pairing".
ARGS ?=

# A sourced ROS 2, another active environment or the user's own packages would mix with .venv. PIP_* variables stay.
# Without byte code each process compiles torch, rclpy and the tests again: tests of nodes take twice as long.
CLEAN_ENV = env -u PYTHONDONTWRITEBYTECODE -u PYTHONPATH -u PYTHONHOME -u VIRTUAL_ENV -u LD_LIBRARY_PATH -u _ROS_WHEELS_BOOTSTRAP_COMPLETE \
	-u AMENT_PREFIX_PATH -u CMAKE_PREFIX_PATH -u COLCON_PREFIX_PATH -u ROS_DISTRO -u RMW_IMPLEMENTATION \
	PYTHONNOUSERSITE=1 OMP_WAIT_POLICY=PASSIVE
RUN = $(CLEAN_ENV) $(VENV)/bin/python
PIP = $(RUN) -m pip --disable-pip-version-check
# OMP_WAIT_POLICY: a spinning OpenMP thread takes the core that another one needs (25 times slower was measured).
REAL_DATA := $(abspath ../shared/data)
TEST_ENV = ROS_PYTHON_CHECK_FIELDS=1 ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
ifneq ($(wildcard $(REAL_DATA)/.),)
TEST_ENV += EDGEVL_REAL_DATA=$${EDGEVL_REAL_DATA:-$(REAL_DATA)}
endif

# --- set-up: a stamp per step, so that nothing is done twice ---------------------------------------------------------
BUILD_INPUTS = setup.py pyproject.toml scripts.cfg package.xml $(wildcard edgevl_build/*.py edgevl_build/*.hpp msg/*.msg srv/*.srv)

setup: $(VENV)/.share

$(VENV)/.created: edgevl_build/find_python.sh
	@python=$$($(CLEAN_ENV) PYTHON="$(PYTHON)" sh edgevl_build/find_python.sh) || exit 2; \
	[ -x $(VENV)/bin/python ] || { echo "setup 1/4: $(VENV) of $$python"; $(CLEAN_ENV) $$python -m venv $(VENV); }
	@touch $(VENV)/COLCON_IGNORE $@

# --no-deps: a lock names all that is needed (of ROS 2's, what step 3 or 4 does not), and to look for more takes seconds.
$(VENV)/.ros: locks/$(ROS_WHEELS).txt $(VENV)/.created
	@echo "setup 2/4: ROS 2 wheels, about 250 MB"
	@$(PIP) install --no-deps -r locks/$(ROS_WHEELS).txt
	@touch $@

ifeq ($(LIBRARIES),robot)
# What pyproject.toml says a robot needs comes with edgevl, in step 4.
LOCKED = --constraint locks/python.txt setuptools wheel catkin-pkg onnx pillow pytest pytest-timeout pytest-xdist hypothesis
else
LOCKED = --no-deps --requirement locks/python.txt
endif

$(VENV)/.python: locks/python.txt $(VENV)/.ros
	@echo "setup 3/4: the other libraries (all: 1.2 GB with a CPU build of torch; robot: 0.4 GB)"
	@$(PIP) install $(LOCKED)
	@touch $@

# Without build isolation setuptools is the locked one, and it warns of every editable install. The check loads the
# compiled code, which an import alone would not.
$(VENV)/.project: $(BUILD_INPUTS) $(VENV)/.python
	@echo "setup 4/4: edgevl, its messages compiled"
	@PYTHONWARNINGS=ignore $(PIP) install --quiet --constraint locks/python.txt --no-build-isolation --editable .
	@$(RUN) -m edgevl_build.check
	@touch $@

# An editable install has no data files. The folders are named for files that come or go.
$(VENV)/.share: edgevl_build/share.py $(wildcard launch config config/* rviz foxglove quick quick/* msg srv) $(VENV)/.project
	@$(RUN) -m edgevl_build.share
	@touch $@

# colcon and Sphinx, each in an environment of its own: .venv-colcon, .venv-docs.
.venv-%/.tools: locks/%.txt $(VENV)/.created
	@echo "locks/$*.txt in $(@D)"
	@[ -x $(@D)/bin/python ] || $(RUN) -m venv $(@D)
	@$(CLEAN_ENV) $(@D)/bin/python -m pip --disable-pip-version-check install --quiet -r $<
	@touch $(@D)/COLCON_IGNORE $@

# --- what one does with it -------------------------------------------------------------------------------------------
demo: setup
	@$(CLEAN_ENV) $(VENV)/bin/edgevl demo $(ARGS)

# Tests of nodes wait for processes most of the time, so there are more workers than cores: make test WORKERS=0 is one
# process, for a debugger. Which tests stay together: tests/conftest.py.
WORKERS ?= 4
PYTEST = $(TEST_ENV) $(RUN) -m pytest
IN_PARALLEL = -n $(WORKERS) --dist loadscope --no-loadscope-reorder -m "not slow"
test: setup
	@$(PYTEST) $(IN_PARALLEL) $(ARGS)

test-slow: setup
	@$(PYTEST) -m slow $(ARGS)

# Processes killed and files cut at random moments, so many of each: make faults ROUNDS=1000. Of lifecycle cycles and label
# changes five times as many, of bundle swaps half; a soak of 1.5 s each.
ROUNDS ?= 200
faults: setup
	@EDGEVL_FAULT_ROUNDS=$(ROUNDS) $(PYTEST) -m faults --timeout=3600 -o faulthandler_timeout=0 $(ARGS)

# The whole graph with a fault twice a minute: make soak MINUTES=60. What was sent, lost and held in memory is printed.
MINUTES ?= 60
soak: setup
	@EDGEVL_SOAK_MINUTES=$(MINUTES) $(PYTEST) -s -m faults --timeout=$$((60 * $(MINUTES) + 600)) -o faulthandler_timeout=0 tests/ros/test_soak.py $(ARGS)

# The nodes alone, on this ROS 2 and on the other one.
NODE_TESTS = tests/ros tests/package/test_messages.py
test-ros: setup
	@$(PYTEST) $(IN_PARALLEL) $(NODE_TESTS) $(ARGS)

JAZZY = VENV=.venv-jazzy ROS_WHEELS=jazzy LIBRARIES=robot
test-jazzy:
	@$(MAKE) --no-print-directory test-ros $(JAZZY)

# What of it tells one ROS 2 from the other, for CI: each node from its start to its end, its parameters, services,
# messages, quality of service and transforms, and a bag recorded and played.
TELLS_ROS_APART = messages nodes classify record_and_play transforms
test-nodes:
	@$(MAKE) --no-print-directory test-ros $(JAZZY) WORKERS=3 \
	NODE_TESTS="$(foreach name,$(TELLS_ROS_APART),$(wildcard tests/ros/test_$(name).py tests/package/test_$(name).py))"

# Source archive, wheel, and each extra in a clean environment: make extras ARGS="robot openvino" for some of them.
extras: setup
	@$(RUN) -m edgevl_build.extras $(ARGS)

lint: setup
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

# ARGS are those of `edgevl benchmark`; the scripts after it time single parts. Those of BY_THEMSELVES take long, or make
# files.
BY_THEMSELVES = aarch64.py backbones.py bits.py data_free.py fleet.py gpu.py many_machines.py networks.py one_home.py pruned.py quick_files.py \
  real_rooms.py remembered.py rooms.py students.py tensorrt_builds.py
bench: setup
	@$(CLEAN_ENV) $(VENV)/bin/edgevl benchmark $(ARGS)
	@set -e; for script in $(filter-out $(addprefix benchmarks/,$(BY_THEMSELVES)),$(wildcard benchmarks/*.py)); do echo "$$script"; $(RUN) $$script; done

ifneq ($(AMENT_PREFIX_PATH),)
# An apt ROS 2 is sourced: in place, as `colcon build` in a workspace would.
colcon:
	@command -v colcon >/dev/null || { echo "make colcon: colcon is missing: apt install python3-colcon-common-extensions" >&2; exit 2; }
	colcon build --packages-select edgevl
else
# Against the wheels of .venv, from nothing: a module deleted since the last build would still be installed. colcon has a
# .venv of its own, because its pytest plug-ins would join the tests. Then the nodes that were built are tested.
COLCON_VENV = .venv-colcon
COLCON_TESTS = tests/ros/test_colcon.py "tests/ros/test_nodes.py::test_nodes_become_active_report_and_end_cleanly[2]" \
  tests/ros/test_record_and_play.py::test_the_log_of_a_played_bag_is_the_bag
PREFIX = $(abspath $(VENV))

colcon: setup $(COLCON_VENV)/.tools
	rm -rf build/edgevl install
	$(CLEAN_ENV) AMENT_PREFIX_PATH=$(PREFIX) CMAKE_PREFIX_PATH=$(PREFIX) PATH="$(abspath $(COLCON_VENV))/bin:$$PATH" \
	PYTHONWARNINGS=ignore colcon build --packages-select edgevl --cmake-args \
	-DPython3_EXECUTABLE=$(PREFIX)/bin/python -DCMAKE_PROJECT_INCLUDE=$(CURDIR)/edgevl_build/wheels.cmake
	@EDGEVL_COLCON_INSTALL=$(CURDIR)/install $(PYTEST) $(COLCON_TESTS) $(ARGS)
endif

# --- the documentation site: pages from docs/ and reference from the code; a dead link or a page outside the contents fails
DOCS_VENV = .venv-docs

docs: setup $(DOCS_VENV)/.tools
	@$(RUN) -m edgevl_build.docs build/docs
	@$(CLEAN_ENV) $(DOCS_VENV)/bin/sphinx-build -W --keep-going --quiet build/docs build/site
	@echo "look at build/site/index.html"

clean:
	rm -rf build install log dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis $(VENV)/.project
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +
