# rs3gw in a container: REST on 9000, gRPC on 50051, everything stored on the volume /var/lib/rs3gw.
#
# It listens on all addresses, so it starts only with credentials of your own:
#   docker run --stop-timeout 30 -p 9000:9000 -p 50051:50051 -e RS3GW_ACCESS_KEY=… -e RS3GW_SECRET_KEY=… rs3gw
# A stop lets requests finish for 20 s, and Docker by itself would wait for 10.
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG PIP_SETTINGS=""
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_CONFIG_FILE=/tmp/pip.conf \
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt
WORKDIR /src
RUN printf '%s\n' "$PIP_SETTINGS" > /tmp/pip.conf \
    && python3 -m venv /opt/build && python3 -m venv --without-pip /opt/rs3gw
COPY requirements/build.txt requirements/tracing.txt requirements/
RUN /opt/build/bin/python -m pip install --quiet --require-hashes -r requirements/build.txt
RUN /opt/build/bin/python -m pip --python /opt/rs3gw/bin/python install --quiet --require-hashes -r requirements/tracing.txt
COPY pyproject.toml README.md LICENSE ./
COPY rs3gw rs3gw
COPY clients/python clients/python
# The wheels are built once, of the server and of the client that `rs3gw cp` is; what runs is these and not the tree.
RUN /opt/build/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheel . ./clients/python \
    && /opt/build/bin/python -m pip --python /opt/rs3gw/bin/python install --quiet --no-deps /wheel/*.whl \
    && /opt/rs3gw/bin/python -m compileall -q /opt/rs3gw

FROM ${PYTHON_IMAGE}
ARG REVISION=unknown
LABEL org.opencontainers.image.title="rs3gw" \
      org.opencontainers.image.description="An S3-compatible object gateway: REST and gRPC over one durable engine" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --system --gid 10001 rs3gw \
    && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/rs3gw --shell /usr/sbin/nologin rs3gw \
    && install -d -o rs3gw -g rs3gw -m 0700 /var/lib/rs3gw
COPY --from=build /opt/rs3gw /opt/rs3gw
ENV PATH=/opt/rs3gw/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 \
    RS3GW_BIND_ADDR=0.0.0.0:9000 RS3GW_GRPC_ENABLED=true RS3GW_STORAGE_ROOT=/var/lib/rs3gw/data \
    RS3GW_LOG_FORMAT=json
USER 10001:10001
# The data is a directory below the mount: a volume's own root may hold lost+found.
VOLUME /var/lib/rs3gw
EXPOSE 9000 50051
STOPSIGNAL SIGTERM
# Asked where the settings say that it listens.  The certificate names another host than this one, so it is not verified.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["python3", "-c", "import os, ssl, urllib.request as request; \
        scheme = 'https' if os.environ.get('RS3GW_TLS_CERT') else 'http'; \
        address = os.environ['RS3GW_BIND_ADDR']; \
        context = ssl.create_default_context(); \
        context.check_hostname = False; \
        context.verify_mode = ssl.CERT_NONE; \
        request.urlopen(f'{scheme}://{address}/-/ready', timeout=2, context=context)"]
ENTRYPOINT ["rs3gw"]
CMD ["serve"]
