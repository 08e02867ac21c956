# docker build -t lifeline .
# docker run -p 8000:8000 -v lifeline:/data lifeline
# With PostgreSQL: -e LIFELINE_DATABASE_URL=postgresql://user:password@host/name, and once `docker run ... lifeline lifeline migrate`.

FROM python:3.13-slim AS builder

ENV UV_PROJECT_ENVIRONMENT=/opt/lifeline \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never

RUN pip install --no-cache-dir --disable-pip-version-check uv

WORKDIR /build

# Dependencies have a layer of their own, which Docker reuses while only the code changes.
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-dev --extra otel --no-install-project

COPY README.md LICENSE ./
COPY alembic alembic
COPY docs docs
COPY app app
RUN uv sync --frozen --no-dev --extra otel --no-editable


FROM python:3.13-slim

# A fixed user id, so that a bind-mounted /data can be owned by it: chown 10001 DIRECTORY.
RUN useradd --uid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin lifeline \
    && install --directory --owner lifeline --group lifeline --mode 0700 /data

COPY --from=builder /opt/lifeline /opt/lifeline

ENV PATH=/opt/lifeline/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LIFELINE_DATABASE_URL=sqlite:////data/lifeline.db

USER lifeline
WORKDIR /data
VOLUME /data
EXPOSE 8000

# No proxy, because the check asks its own loopback address.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["python", "-c", \
    "from urllib.request import ProxyHandler, build_opener; build_opener(ProxyHandler({})).open('http://127.0.0.1:8000/health/ready', timeout=4)"]

CMD ["lifeline", "serve", "--host", "0.0.0.0"]
