/* font.c: lettering made of strokes, so that it can be drawn smoothly at any height. */
#include "lucid/plot/image_priv.h"

#include <math.h>
#include <stdlib.h>

/* Paths, in units of which a capital letter is 70 high and a small x 48, y upwards:
 *   M x y             begin a stroke
 *   L x y             straight on
 *   Q cx cy x y       a quadratic curve with its control point
 *   A cx cy rx ry a b an arc of an ellipse from angle a to b (degrees; counterclockwise when
 *                     b > a), joined to the stroke;   a ...: the same as a stroke of its own */
typedef struct glyph {
    int width; /* of the strokes' middle lines */
    const char *path;
} glyph;

enum { FIRST = 32, LAST = 126, GAP = 20 };

static const glyph glyphs[LAST - FIRST + 2] = {
    {8, ""},                                                                            /*   */
    {0, "M 0 70 L 0 22 M 0 1 L 0 0"},                                                   /* ! */
    {16, "M 0 70 L 0 52 M 16 70 L 16 52"},                                              /* " */
    {44, "M 14 70 L 8 0 M 36 70 L 30 0 M 2 46 L 44 46 M 0 24 L 42 24"},                 /* # */
    {40, "a 20 53 18 17 35 270 A 20 18 20 18 90 -145 M 20 80 L 20 -10"},                /* $ */
    {56, "a 12 55 12 15 0 360 M 48 70 L 8 0 a 44 15 12 15 0 360"},                      /* % */
    {46, "M 46 0 L 12 47 A 22 57 12 13 215 -35 L 10 32 A 18 17 18 17 125 330 L 44 34"}, /* & */
    {0, "M 0 70 L 0 52"},                                                               /* ' */
    {14, "a 44 32 44 58 134 226"},                                                      /* ( */
    {14, "a -30 32 44 58 46 -46"},                                                      /* ) */
    {30, "M 15 70 L 15 36 M 0 62 L 30 44 M 0 44 L 30 62"},                              /* * */
    {40, "M 20 52 L 20 12 M 0 32 L 40 32"},                                             /* + */
    {4, "M 4 4 L 4 -2 L 0 -12"},                                                        /* , */
    {26, "M 0 30 L 26 30"},                                                             /* - */
    {0, "M 0 1 L 0 0"},                                                                 /* . */
    {32, "M 0 -8 L 32 74"},                                                             /* / */
    {42, "a 21 35 21 35 0 360"},                                                        /* 0 */
    {42, "M 8 55 L 24 70 L 24 0"},                                                      /* 1 */
    {42, "a 21 50 20 20 165 -35 L 1 0 L 42 0"},                                         /* 2 */
    {42, "a 20 52 18 18 150 -90 A 20 17 21 17 90 -155"},                                /* 3 */
    {42, "M 32 0 L 32 70 L 0 21 L 42 21"},                                              /* 4 */
    {42, "M 38 70 L 7 70 L 4 37 A 20 22 21 22 130 -150"},                               /* 5 */
    {42, "a 21 21 20 21 0 360 M 1 21 Q 2 52 32 70"},                                    /* 6 */
    {42, "M 0 70 L 42 70 L 14 0"},                                                      /* 7 */
    {42, "a 21 53 17 17 0 360 a 21 18 21 18 0 360"},                                    /* 8 */
    {42, "a 21 49 20 21 0 360 M 41 49 Q 40 18 10 0"},                                   /* 9 */
    {0, "M 0 1 L 0 0 M 0 45 L 0 44"},                                                   /* : */
    {4, "M 4 45 L 4 44 M 4 4 L 4 -2 L 0 -12"},                                          /* ; */
    {36, "M 36 54 L 0 31 L 36 8"},                                                      /* < */
    {40, "M 0 42 L 40 42 M 0 22 L 40 22"},                                              /* = */
    {36, "M 0 54 L 36 31 L 0 8"},                                                       /* > */
    {34, "a 17 53 17 17 170 -50 Q 17 34 17 20 M 17 1 L 17 0"},                          /* ? */
    {64, "a 32 30 13 15 0 360 M 45 46 L 45 24 Q 46 14 54 16 Q 64 20 64 32 A 32 32 32 34 0 310"},
    {50, "M 0 0 L 25 70 L 50 0 M 8 23 L 42 23"}, /* A */
    {42, "M 0 0 L 0 70 L 22 70 A 22 53 17 17 90 -90 L 0 36 M 22 36 A 22 18 20 18 90 -90 L 0 0"},
    {44, "a 27 35 27 35 50 310"},                                            /* C */
    {48, "M 0 0 L 0 70 L 16 70 A 16 35 32 35 90 -90 L 0 0"},                 /* D */
    {38, "M 38 70 L 0 70 L 0 0 L 38 0 M 0 37 L 32 37"},                      /* E */
    {36, "M 36 70 L 0 70 L 0 0 M 0 37 L 30 37"},                             /* F */
    {48, "a 27 35 27 35 48 322 L 48 34 L 30 34"},                            /* G */
    {46, "M 0 0 L 0 70 M 46 0 L 46 70 M 0 37 L 46 37"},                      /* H */
    {0, "M 0 0 L 0 70"},                                                     /* I */
    {30, "M 30 70 L 30 18 A 15 18 15 18 0 -165"},                            /* J */
    {43, "M 0 0 L 0 70 M 40 70 L 0 26 M 14 41 L 43 0"},                      /* K */
    {36, "M 0 70 L 0 0 L 36 0"},                                             /* L */
    {56, "M 0 0 L 0 70 L 28 22 L 56 70 L 56 0"},                             /* M */
    {46, "M 0 0 L 0 70 L 46 0 L 46 70"},                                     /* N */
    {56, "a 28 35 28 35 0 360"},                                             /* O */
    {42, "M 0 0 L 0 70 L 22 70 A 22 51 20 19 90 -90 L 0 32"},                /* P */
    {56, "a 28 35 28 35 0 360 M 36 14 L 56 -6"},                             /* Q */
    {44, "M 0 0 L 0 70 L 22 70 A 22 51 20 19 90 -90 L 0 32 M 22 32 L 44 0"}, /* R */
    {40, "a 20 53 18 17 35 270 A 20 18 20 18 90 -145"},                      /* S */
    {46, "M 0 70 L 46 70 M 23 70 L 23 0"},                                   /* T */
    {46, "M 0 70 L 0 23 A 23 23 23 23 180 360 L 46 70"},                     /* U */
    {48, "M 0 70 L 24 0 L 48 70"},                                           /* V */
    {72, "M 0 70 L 18 0 L 36 62 L 54 0 L 72 70"},                            /* W */
    {44, "M 0 70 L 44 0 M 44 70 L 0 0"},                                     /* X */
    {44, "M 0 70 L 22 34 L 44 70 M 22 34 L 22 0"},                           /* Y */
    {43, "M 0 70 L 42 70 L 0 0 L 43 0"},                                     /* Z */
    {12, "M 12 78 L 0 78 L 0 -14 L 12 -14"},                                 /* [ */
    {32, "M 0 74 L 32 -8"},                                                  /* \ */
    {12, "M 0 78 L 12 78 L 12 -14 L 0 -14"},                                 /* ] */
    {30, "M 0 46 L 15 70 L 30 46"},                                          /* ^ */
    {40, "M 0 -12 L 40 -12"},                                                /* _ */
    {10, "M 0 70 L 10 58"},                                                  /* ` */
    {36, "a 18 24 18 24 0 360 M 36 48 L 36 0"},                              /* a */
    {38, "M 0 70 L 0 0 a 19 24 19 24 0 360"},                                /* b */
    {33, "a 20 24 20 24 50 310"},                                            /* c */
    {38, "a 19 24 19 24 0 360 M 38 70 L 38 0"},                              /* d */
    {38, "M 0 24 L 38 24 A 19 24 19 24 0 315"},                              /* e */
    {24, "a 20 56 12 14 70 180 L 8 0 M 0 46 L 20 46"},                       /* f */
    {38, "a 19 24 19 24 0 360 M 38 48 L 38 -4 A 20 -4 18 17 0 -150"},        /* g */
    {34, "M 0 70 L 0 0 M 0 30 A 17 31 17 17 180 0 L 34 0"},                  /* h */
    {0, "M 0 48 L 0 0 M 0 66 L 0 65"},                                       /* i */
    {8, "M 8 48 L 8 -8 A -4 -8 12 12 0 -80 M 8 66 L 8 65"},                  /* j */
    {34, "M 0 70 L 0 0 M 31 48 L 0 18 M 11 29 L 34 0"},                      /* k */
    {8, "M 0 70 L 0 10 Q 0 0 9 0"},                                          /* l */
    {56, "M 0 48 L 0 0 M 0 33 A 14 34 14 14 180 0 L 28 0 M 28 33 A 42 34 14 14 180 0 L 56 0"},
    {34, "M 0 48 L 0 0 M 0 31 A 17 31 17 17 180 0 L 34 0"},                           /* n */
    {40, "a 20 24 20 24 0 360"},                                                      /* o */
    {38, "M 0 48 L 0 -20 a 19 24 19 24 0 360"},                                       /* p */
    {38, "a 19 24 19 24 0 360 M 38 48 L 38 -20"},                                     /* q */
    {22, "M 0 48 L 0 0 M 0 30 A 17 31 17 17 180 70"},                                 /* r */
    {30, "a 15 36 14 12 40 270 A 15 12 16 12 90 -140"},                               /* s */
    {22, "M 8 64 L 8 12 Q 8 0 22 1 M 0 47 L 20 47"},                                  /* t */
    {34, "M 0 48 L 0 17 A 17 17 17 17 180 360 M 34 48 L 34 0"},                       /* u */
    {36, "M 0 48 L 18 0 L 36 48"},                                                    /* v */
    {56, "M 0 48 L 14 0 L 28 42 L 42 0 L 56 48"},                                     /* w */
    {34, "M 0 48 L 34 0 M 34 48 L 0 0"},                                              /* x */
    {36, "M 0 48 L 18 1 M 36 48 L 10 -20"},                                           /* y */
    {33, "M 0 48 L 32 48 L 0 0 L 33 0"},                                              /* z */
    {16, "M 16 78 Q 7 78 7 67 L 7 42 Q 7 32 0 32 Q 7 32 7 22 L 7 -3 Q 7 -14 16 -14"}, /* { */
    {0, "M 0 78 L 0 -14"},                                                            /* | */
    {16, "M 0 78 Q 9 78 9 67 L 9 42 Q 9 32 16 32 Q 9 32 9 22 L 9 -3 Q 9 -14 0 -14"},  /* } */
    {40, "M 0 28 Q 10 42 20 32 Q 30 22 40 36"},                                       /* ~ */
    {34, "M 0 0 L 0 52 L 34 52 L 34 0 L 0 0"}, /* what is not ASCII */
};

/* The pen: its position, and the function that gets its lines. */
typedef struct pen {
    double x, y;
    luc_glyph_line line;
    void *user;
} pen;

static void draw_to(pen *p, double x, double y)
{
    p->line(p->user, p->x, p->y, x, y);
    p->x = x;
    p->y = y;
}

static void draw_curve(pen *p, const double *v)
{
    enum { STEPS = 8 };
    double x0 = p->x, y0 = p->y;
    for (int i = 1; i <= STEPS; i++) {
        double t = (double)i / STEPS, s = 1 - t;
        draw_to(p, s * s * x0 + 2 * s * t * v[0] + t * t * v[2],
                s * s * y0 + 2 * s * t * v[1] + t * t * v[3]);
    }
}

static void draw_arc(pen *p, const double *v, bool joined)
{
    const double degree = 3.14159265358979323846 / 180;
    int steps = (int)ceil(fabs(v[5] - v[4]) / 12);
    for (int i = 0; i <= steps; i++) {
        double angle = (v[4] + (v[5] - v[4]) * i / steps) * degree;
        double x = v[0] + v[2] * cos(angle), y = v[1] + v[3] * sin(angle);
        if (i == 0 && !joined)
            p->x = x, p->y = y;
        else
            draw_to(p, x, y);
    }
}

double luc_glyph(unsigned char character, luc_glyph_line line, void *user)
{
    bool known = character >= FIRST && character <= LAST;
    const glyph *g = &glyphs[known ? character - FIRST : LAST - FIRST + 1];
    pen p = {.line = line, .user = user};
    const char *at = g->path;
    while (line && *at) {
        char command = *at++;
        int count = command == 'Q' ? 4 : command == 'A' || command == 'a' ? 6 : 2;
        double v[6] = {0};
        for (int i = 0; i < count; i++) {
            char *end;
            v[i] = (double)strtol(at, &end, 10);
            at = end;
        }
        while (*at == ' ') at++;
        if (command == 'M')
            p.x = v[0], p.y = v[1];
        else if (command == 'L')
            draw_to(&p, v[0], v[1]);
        else if (command == 'Q')
            draw_curve(&p, v);
        else
            draw_arc(&p, v, command == 'A');
    }
    return g->width + GAP;
}

/* ---- text ------------------------------------------------------------------------------------ */

typedef struct lettering {
    luc_mask mask;
    double x, y, unit, width; /* pixels */
} lettering;

static void letter_line(void *user, double x0, double y0, double x1, double y1)
{
    lettering *l = user;
    luc_mask_line(&l->mask, l->x + x0 * l->unit, l->y - y0 * l->unit, l->x + x1 * l->unit,
                  l->y - y1 * l->unit, l->width);
}

/* The next character; the bytes of one that is not ASCII count as one. */
static unsigned char next_character(const char **text)
{
    unsigned char c = (unsigned char)*(*text)++;
    while (c >= 0x80 && ((unsigned char)**text & 0xc0) == 0x80) (*text)++;
    return c;
}

double lucid_image_text_width(double height, const char *text)
{
    double units = 0;
    while (text && *text) units += luc_glyph(next_character(&text), NULL, NULL);
    return units > 0 ? (units - GAP) * height / 70 : 0;
}

bool lucid_image_text(lucid_image *image, double x, double y, double height, uint32_t color,
                      const char *text)
{
    if (!image || !text) return false;
    if (!isfinite(x) || !isfinite(y) || !(height > 0) || isinf(height)) return true;
    lettering l = {.unit = height / 70, .width = fmax(1.1, height * 0.125)};
    double margin = height * 0.5 + 2;
    if (!luc_mask_begin(&l.mask, image, x - margin, y - height - margin,
                        x + lucid_image_text_width(height, text) + margin, y + margin))
        return false;
    /* The base line runs through the middle of pixels: horizontal strokes are sharp. */
    l.x = x;
    l.y = floor(y) + 0.5;
    while (*text) l.x += luc_glyph(next_character(&text), letter_line, &l) * l.unit;
    luc_mask_end(&l.mask, image, color, 1);
    return true;
}
