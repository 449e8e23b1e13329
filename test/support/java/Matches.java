import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.regex.Pattern;

/** Reads lines of a pattern and texts, each base64 of UTF-8; prints 1 or 0 for each text, as a broker in Java would match them. */
class Matches {
    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        StringBuilder out = new StringBuilder();
        for (String line; (line = in.readLine()) != null;) {
            String[] parts = line.split(" ", -1);
            Pattern pattern = Pattern.compile(decode(parts[0]));
            for (int i = 1; i < parts.length; i++) out.append(pattern.matcher(decode(parts[i])).matches() ? '1' : '0');
            out.append('\n');
        }
        System.out.print(out);
    }

    private static String decode(String text) {
        return new String(Base64.getDecoder().decode(text), StandardCharsets.UTF_8);
    }
}
