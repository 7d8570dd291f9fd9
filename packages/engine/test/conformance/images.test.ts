// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are shell and Dockerfile texts
import { randomUUID } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { imageCacheDir, sh, type TestEngine, testEngine } from "./_engine.ts";

describe("images", () => {
  let t: TestEngine;
  const lines: string[] = [];
  beforeAll(async () => {
    t = await testEngine({}, { onBuildLog: (_id, line) => lines.push(line) });
  });
  afterAll(() => t[Symbol.asyncDispose]());

  const from = (...commands: string[]) => t.modal.images.fromRegistry("debian:12-slim").dockerfileCommands(commands);
  /** Unfinished layers of this very process: the cache is shared with other engines. */
  const unfinished = () => readdirSync(join(imageCacheDir, "tmp")).filter((name) => name.startsWith(`${process.pid}-`));

  it("runs steps as root, in order, with environment, arguments and working directory", async () => {
    const image = from(
      "ARG WHO=world",
      "ENV GREETING=hello \\",
      '    PLACE="the ${WHO}"',
      "WORKDIR /srv/app",
      "# a comment",
      'RUN echo "$GREETING $PLACE $(id -u) $(pwd)" > made',
      'RUN ["sh", "-c", "echo second >> made"]',
      "EXPOSE 80",
      "LABEL a=b",
    );
    await image.build(t.app);
    const sandbox = await t.modal.sandboxes.create(t.app, image);
    const output = await sh(sandbox, "cat made; echo $GREETING; pwd; stat -c '%u:%g %a' made");
    expect(output.stdout).toBe("hello the world 0 /srv/app\nsecond\nhello\n/srv/app\n0:0 644\n");
    await sandbox.terminate();
  });

  it("gives the same image for the same recipe, shares one build, and builds anew when forced", async () => {
    const recipe = () => from(`RUN echo ${marker} > /marker; date +%s%N > /time`);
    const marker = randomUUID();
    lines.length = 0;
    const [one, two] = await Promise.all([recipe().build(t.app), recipe().build(t.app)]);
    expect(two.imageId).toBe(one.imageId);
    expect(lines.filter((line) => line.includes("done in"))).toHaveLength(1);
    expect((await recipe().build(t.app)).imageId).toBe(one.imageId);
    const forced = await t.modal.images
      .fromRegistry("debian:12-slim")
      .dockerfileCommands([`RUN echo ${marker} > /marker; date +%s%N > /time`], { forceBuild: true })
      .build(t.app);
    expect(forced.imageId).not.toBe(one.imageId);
  });

  it("takes a layer from the cache when only a later step differs", async () => {
    const marker = randomUUID();
    await from(`RUN echo ${marker}`, "RUN true").build(t.app);
    lines.length = 0;
    await from(`RUN echo ${marker}`, `RUN echo other ${marker}`).build(t.app);
    expect(lines.filter((line) => line.includes("cached"))).toHaveLength(1);
    expect(lines).not.toContain(marker);
    expect(lines).toContain(`other ${marker}`);
  });

  it("reports a failing step with its command, exit code and last output, and keeps no layer of it", async () => {
    const marker = randomUUID();
    const broken = () => from(`RUN echo ${marker}; echo it-failed >&2; exit 7`).build(t.app);
    await expect(broken()).rejects.toThrow(/exit 7' failed with exit code 7; its last output:/);
    lines.length = 0;
    await expect(broken()).rejects.toThrow(/it-failed/);
    // It ran again: nothing of it was kept.
    expect(lines).toContain(marker);
    expect(unfinished()).toEqual([]);
  });

  it("names the known tags when it is asked for another", async () => {
    await expect(t.modal.images.fromRegistry("ubuntu:24.04").build(t.app)).rejects.toThrow(
      /'ubuntu:24.04' is not known[\s\S]*debian:12[\s\S]*node:24-bookworm-slim/,
    );
  });

  it("gives build secrets to the steps of one layer only", async () => {
    const secret = await t.modal.secrets.fromObject({ BUILD_TOKEN: "tok-123" });
    const base = t.modal.images.fromRegistry("debian:12-slim");
    const image = base
      .dockerfileCommands(["RUN echo ${BUILD_TOKEN:-unset} > /one"])
      .dockerfileCommands(["RUN echo ${BUILD_TOKEN:-unset} | sha256sum > /two"], { secrets: [secret] })
      .dockerfileCommands(["RUN echo ${BUILD_TOKEN:-unset} > /three"]);
    await image.build(t.app);
    const sandbox = await t.modal.sandboxes.create(t.app, image);
    const output = await sh(
      sandbox,
      "cat /one /three; echo tok-123 | sha256sum | cmp - /two; echo ${BUILD_TOKEN:-unset}",
    );
    expect(output.stdout).toBe("unset\nunset\nunset\n");
    await sandbox.terminate();
  });

  it("leaves nothing of the machine's settings in the image", async () => {
    const image = from("RUN env > /env; ls /run/holdfast-build > /during");
    await image.build(t.app);
    const sandbox = await t.modal.sandboxes.create(t.app, image);
    const output = await sh(
      sandbox,
      "cat /during; env; ls -A /run; find / -xdev -newer /during -type f -path '*holdfast*'",
    );
    expect(output.stdout).toContain("apt.conf");
    expect(output.stdout).not.toMatch(/SSL_CERT_FILE|APT_CONFIG|holdfast-build/);
    await sandbox.terminate();
  });

  it("installs packages from Debian and npm in steps", { timeout: 180_000 }, async () => {
    const image = t.modal.images
      .fromRegistry("node:24-bookworm-slim")
      .dockerfileCommands([
        "RUN apt-get update && apt-get install -y --no-install-recommends jq && rm -rf /var/lib/apt/lists/*",
        "RUN npm install -g is-odd@3.0.1",
      ]);
    await image.build(t.app);
    const sandbox = await t.modal.sandboxes.create(t.app, image);
    const output = await sh(
      sandbox,
      "echo '{\"a\":1}' | jq .a; node --version; ls $(npm root -g); ls -A /root/.npm /tmp",
    );
    expect(output.stdout).toMatch(/^1\nv24\.\d+\.\d+\nis-odd\nnpm\n/);
    await sandbox.terminate();
  });

  it("ignores the image's USER at run time, but not in later steps", async () => {
    const image = from("USER nobody", "RUN id -u > /tmp/who");
    await image.build(t.app);
    const sandbox = await t.modal.sandboxes.create(t.app, image);
    expect((await sh(sandbox, "id -u; cat /tmp/who")).stdout).toBe("0\n65534\n");
    await sandbox.terminate();
  });

  it("runs everything as the image's USER where that is switched on", async () => {
    await using other = await testEngine({ honourImageUser: true });
    const image = other.modal.images.fromRegistry("debian:12-slim").dockerfileCommands(["USER nobody"]);
    await image.build(other.app);
    const sandbox = await other.modal.sandboxes.create(other.app, image);
    expect((await sh(sandbox, "id -u; stat -c %u /proc/1; echo $HOME")).stdout).toBe("65534\n65534\n/nonexistent\n");
    const root = await other.create();
    expect((await sh(root, "id -u")).stdout).toBe("0\n");
  });

  it("starts the image's ENTRYPOINT before the command and ignores its CMD", async () => {
    const image = from('ENTRYPOINT ["env", "FROM_ENTRYPOINT=1"]', 'CMD ["false"]');
    await image.build(t.app);
    const sandbox = await t.modal.sandboxes.create(t.app, image, { command: ["sh", "-c", "echo $FROM_ENTRYPOINT"] });
    expect(await sandbox.stdout.readText()).toBe("1\n");
    const sleeping = await t.modal.sandboxes.create(t.app, image);
    expect(await sleeping.poll()).toBeNull();
    await sleeping.terminate();
  });

  it("finds an image by id and forgets a deleted one", async () => {
    const image = await from(`RUN echo ${randomUUID()}`).build(t.app);
    expect((await t.modal.images.fromId(image.imageId)).imageId).toBe(image.imageId);
    await t.modal.images.delete(image.imageId);
    await expect(t.modal.images.fromId(image.imageId)).rejects.toThrow(/Could not find image with ID/);
    await expect(t.modal.images.delete(image.imageId)).rejects.toThrow(/No Image with ID/);
    await expect(t.modal.images.fromId("im-0000000000000000000000")).rejects.toThrow(/Could not find image with ID/);
  });

  it("does not follow links that a step planted", async () => {
    const image = from(
      "RUN rm -rf /run && ln -s /etc /run; rm -f /etc/passwd && ln -s /etc/shadow /etc/passwd",
      "RUN true",
    );
    await expect(image.build(t.app)).rejects.toThrow(/the image has no user 'root'/);
    expect(existsSync("/etc/passwd")).toBe(true);
  });
});
