# posetrack for CPUs: a small image, no root. docs/containers.md explains how to use it.
#   docker build -t posetrack .
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
# PyTorch for CPUs; an own package index is also possible.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/posetrack
ENV PATH=/opt/posetrack/bin:$PATH
RUN pip install --index-url ${TORCH_INDEX} torch torchvision
COPY . /src
# pip itself is not needed to run.
RUN pip install /src && pip uninstall -y pip

FROM ${BASE}
COPY --from=build /opt/posetrack /opt/posetrack
# HOME can be written by every user, so that `--user "$(id -u):$(id -g)"` works.
RUN useradd --create-home --uid 1000 posetrack && mkdir /data /weights \
    && chown posetrack /data /weights && chmod 1777 /home/posetrack /data /weights
ENV PATH=/opt/posetrack/bin:$PATH HOME=/home/posetrack POSETRACK_WEIGHTS=/weights PYTHONUNBUFFERED=1
USER 1000
WORKDIR /data
# Compares the package, its decoders and its weights with what they should be.
RUN ["posetrack", "selftest"]
ENTRYPOINT ["posetrack"]
CMD ["--help"]
