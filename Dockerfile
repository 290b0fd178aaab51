# The image of every office and every role: which office a container is, its settings say.
#
# The first stage installs, the second only receives. What the installation needed, such as pip's
# caches and the wheel of pip itself, stays behind with the first; compilers are in neither,
# because only wheels are installed.
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS installed
WORKDIR /srv/pulang

# The installer is the one that `make` uses, so that image and developer's machine hold the same:
# wheels only, each checked against the hashed lock. It comes before the sources, so that a
# changed source does not install everything again. Its stamp covers both locks.
COPY requirements.lock requirements-dev.lock ./
COPY tools/ tools/
RUN python3 tools/bootstrap.py runtime

# The application's own files can't be written at run time, nor can their compiled form, which is
# therefore made now. The checkout may come from a machine with a strict umask.
COPY services/ services/
COPY shared/ shared/
COPY deploy/worker_health.py deploy/
RUN .venv/bin/python -m compileall -q services shared deploy \
    && rm -r tools requirements.lock requirements-dev.lock \
    && chmod -R u=rwX,go=rX .

FROM ${PYTHON_IMAGE}

# The office's key file lies in /var/lib/pulang. A volume that is mounted there for the first time
# takes over the directory's owner, so it has to exist and belong to the user that will write it.
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin pulang \
    && install --directory --owner=pulang --mode=0700 /var/lib/pulang
COPY --from=installed /srv/pulang /srv/pulang

# The files belong to root, so the process can't change its own program.
USER 10001
WORKDIR /srv/pulang
ENV PATH=/srv/pulang/.venv/bin:$PATH \
    PULANG_HOST=0.0.0.0 \
    PULANG_KEY_FILE=/var/lib/pulang/office.key
# Inside a container the loopback address reaches nobody; what is published, and where, is decided
# outside, as are the health checks, which differ between web and worker.
EXPOSE 8071
ENTRYPOINT ["pulang"]
CMD ["serve"]
