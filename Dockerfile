# The service: no torch, non-root, the wheel installed, an empty working directory.
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY advisor advisor
COPY calibration calibration
COPY catalog catalog
COPY api api
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.13-slim AS service
COPY --from=build /wheels /wheels
COPY constraints.txt /tmp/constraints.txt
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && pip install --no-cache-dir --constraint /tmp/constraints.txt /wheels/*.whl "psycopg[binary]" \
    && rm -rf /wheels /tmp/constraints.txt \
    && useradd --system --create-home --home-dir /var/lib/joulewise joulewise
USER joulewise
WORKDIR /var/lib/joulewise
ENV JOULEWISE_HOST=0.0.0.0 JOULEWISE_PORT=8000 \
    JOULEWISE_CATALOG=sqlite:////var/lib/joulewise/catalog.sqlite
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health/ready')"]
CMD ["joulewise", "serve"]
