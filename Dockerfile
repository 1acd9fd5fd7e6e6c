# gmobot: bot and emulator in one image. Works with the classic builder and with BuildKit, on amd64 and arm64.
#
# BUILDER_IMAGE differs from PYTHON_IMAGE where fetching wheels needs something the bot must not carry,
# such as a company's CA bundle; both must have the same Python in the same place.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
ARG BUILDER_IMAGE=

FROM ${BUILDER_IMAGE:-${PYTHON_IMAGE}} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY requirements/build.lock requirements/run.lock requirements/
# The locks name everything: nothing is resolved, and only what hashes to them is installed.
RUN python3 -m venv tools \
 && tools/bin/pip install -q --no-deps --require-hashes --only-binary :all: -r requirements/build.lock \
 && python3 -m venv /opt/gmobot/venv \
 && /opt/gmobot/venv/bin/pip install -q --no-deps --require-hashes --only-binary :all: -r requirements/run.lock
COPY pyproject.toml README.md ./
COPY src src
# What only installs or tests packages stays behind.
RUN tools/bin/pip wheel -q --no-deps --no-build-isolation -w dist . \
 && /opt/gmobot/venv/bin/pip install -q --no-deps --no-index dist/*.whl \
 && /opt/gmobot/venv/bin/pip check \
 && /opt/gmobot/venv/bin/pip uninstall -q -y setuptools pip \
 && find /opt/gmobot/venv -depth -type d -name tests -exec rm -rf {} +

FROM ${PYTHON_IMAGE}
# Machine code for the plainest processor of the kind: the cache below fits every host, and every host decides alike.
ENV PATH=/opt/gmobot/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/app/strategies \
    NUMBA_CPU_NAME=generic \
    GMOBOT_CACHE_DIR=/opt/gmobot/cache \
    XDG_CACHE_HOME=/tmp/cache \
    HOME=/tmp \
    GMOBOT__HEALTH__HOST=0.0.0.0
RUN groupadd --gid 1000 gmobot && useradd --uid 1000 --gid 1000 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin gmobot
COPY --from=build /opt/gmobot/venv /opt/gmobot/venv
WORKDIR /app
COPY configs configs
COPY scripts/sbom.py /opt/gmobot/
# The strategies' machine code is made once, here. At run time the cache is read-only; the loader copies it to /tmp,
# which whoever runs it must be allowed to. What is installed stands in /opt/gmobot/sbom.cdx.json.
RUN gmobot config check -c configs/default.yaml && chmod -R a+rX "$GMOBOT_CACHE_DIR" && install -d -o 1000 -g 1000 var \
 && python /opt/gmobot/sbom.py >/opt/gmobot/sbom.cdx.json
USER gmobot
EXPOSE 9754
STOPSIGNAL SIGTERM
# bash has sockets of its own; a Python for every look would cost a hundred times as much. The first look comes after
# an interval, so the interval is also how soon the bot can be known to be healthy.
HEALTHCHECK --interval=4s --timeout=4s --start-period=60s --retries=3 \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/${HEALTH_PORT:-9754} && printf 'GET /healthz HTTP/1.0\\r\\nHost: 127.0.0.1\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [[ $status == 200 ]]"]
CMD ["gmobot", "run"]
ARG REVISION=
ARG SOURCE=
LABEL org.opencontainers.image.title="gmobot" \
      org.opencontainers.image.description="An unattended trading daemon for GMO Coin" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.revision="$REVISION"
