# The workstation's half in a container: training, the demo, the command line. torch as the package index serves it; for
# the CPU build pass --build-arg PIP_EXTRA_INDEX_URL (CONTRIBUTING.md).
#
#   docker build -f docker/workstation.Dockerfile -t edgevl .
#   docker run --rm --shm-size 1g --volume "$PWD:/data" edgevl edgevl adapt /data/bag --teacher SPEC --labels home --out /data/run
FROM python:3.11-slim-bookworm
ARG PIP_EXTRA_INDEX_URL
RUN apt-get update && apt-get install --yes --no-install-recommends g++ make git && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home edgevl
WORKDIR /edgevl
COPY . .
RUN make setup VENV=/opt/edgevl
ENV PATH=/opt/edgevl/bin:$PATH \
    OMP_WAIT_POLICY=PASSIVE
USER edgevl
WORKDIR /data
CMD ["edgevl", "--help"]
