# The robot's half in a container: nodes on ROS 2 Kilted from the locked wheels, no torch. x86_64 only, as the wheels are;
# for aarch64 see docs/robots.md.
#
#   docker build -f docker/robot.Dockerfile -t edgevl-robot .
#   docker run --rm --network host --ipc host edgevl-robot scene_classifier --ros-args -p bundle:=/data/bundle
#
# --network host and --ipc host: DDS finds the robot's other nodes, and images pass through shared memory. `docker stop`
# sends SIGTERM, on which a node closes its log and leaves.
FROM python:3.11-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends g++ make git && rm -rf /var/lib/apt/lists/*
WORKDIR /edgevl
COPY . .
RUN make setup LIBRARIES=robot VENV=/opt/edgevl

FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install --yes --no-install-recommends libatomic1 && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home robot
COPY --from=build /opt/edgevl /opt/edgevl
COPY --from=build /edgevl /edgevl
ENV PATH=/opt/edgevl/bin:$PATH \
    OMP_WAIT_POLICY=PASSIVE \
    FASTDDS_DEFAULT_PROFILES_FILE=/edgevl/config/fastdds.xml \
    FASTRTPS_DEFAULT_PROFILES_FILE=/edgevl/config/fastdds.xml
USER robot
WORKDIR /home/robot
CMD ["edgevl", "doctor"]
